"""The same job on this machine: resolved as the operator does, run by the trainer's own stages, spoken to by docs/contract.md."""
