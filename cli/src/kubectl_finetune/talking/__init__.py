"""A result that is talked with on this machine, beside the base model it came from. `model` needs the trainer's environment."""
