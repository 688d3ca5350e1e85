"""Who is calling, what a key is for, and how much may be used."""
