"""What is no door to a model: health, the list of models, what operators see."""
