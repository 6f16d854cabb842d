"""Trackers: W&B, MLflow, TensorBoard. A process of its own each, that can be killed: nothing here runs in the supervisor or a rank.

`assignment` is what the supervisor and that process tell each other; only `program` imports the trackers' libraries.
"""
