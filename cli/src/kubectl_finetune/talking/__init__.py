"""A result that is talked with, beside the base model it came from: the trainer's own server, in a pod or on this machine."""
