"""A real Kubernetes on one machine, without Docker: the ground for end-to-end tests and the demo."""
