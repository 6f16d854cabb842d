"""The API server and kubectl, by the user's own kubeconfig. The only package that imports the API client."""

from kubectl_finetune.cluster.client import Cluster, Object

__all__ = ["Cluster", "Object"]
