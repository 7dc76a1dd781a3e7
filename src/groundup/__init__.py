"""groundup: build a large language model from the ground up."""
