"""`kubectl finetune`: FineTuneJobs from a terminal, by the user's own rights; the same job on this machine."""
