"""Rules: who may use how much of what. Which rules concern a request, what they count, and what is over."""
