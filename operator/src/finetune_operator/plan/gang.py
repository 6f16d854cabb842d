"""What the pods of a job with several nodes need to find each other."""

from finetune_operator import names
from finetune_operator.names import Owner
from finetune_operator.plan.pod import Manifest


def gang_service(owner: Owner) -> Manifest:
    """The headless Service: a name for each training pod, from its first moment on. One a job, the same for all attempts.

    It names no port: where the ranks talk to each other is theirs to choose.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names.gang(owner),
            "namespace": owner.namespace,
            "labels": names.labels(owner),
            "ownerReferences": [names.owner_reference(owner)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {names.JOB_UID: owner.uid, names.STAGE: "train"},
        },
    }
