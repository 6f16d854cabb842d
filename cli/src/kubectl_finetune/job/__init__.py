"""A FineTuneJob before it is one: read, put together, checked as the operator and the API server check it. No cluster is asked."""
