"""finetune-operator: a FineTuneJob becomes a working adapter in a bucket."""
