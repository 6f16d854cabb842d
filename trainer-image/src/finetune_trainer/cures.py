"""What a person does about each reason of `errors.py`: what to look at, what to type. NAME stands for the job's name.

The sentence beside a reason names the field, the file and line, or the number; this says what that kind of trouble asks for.
"""

from collections.abc import Mapping

BY_ITSELF = "Nothing: the job goes on by itself."
AGAIN = "Then `kubectl finetune retry NAME --set FIELD=VALUE`."

CURES: Mapping[str, str] = {
    "InvalidRun": (
        f"If the message names a field of the spec, correct it. {AGAIN} Otherwise ask the admin to install "
        "operator and trainer image of one version."
    ),
    "NotYetSupported": "Leave the field out: `kubectl finetune retry NAME --set FIELD=null` runs it under a new name.",
    "OutputExists": (
        "Give the job an output of its own: `kubectl finetune retry NAME` does so. To replace what lies there, "
        "`--set output.overwrite=true`."
    ),
    "BucketNotFound": f"Create the bucket, or correct the URI and the endpoint (`AWS_ENDPOINT_URL` in the Secret). {AGAIN}",
    "ModelNotFound": f"Open the model's page on the Hub, or list the folder, and correct `spec.model.uri`. {AGAIN}",
    "ModelChanged": (
        "Somebody replaced the model's files while the job ran. `kubectl finetune retry NAME` prepares the data "
        "for the new ones."
    ),
    "UnsupportedModelFiles": (
        "Put into the folder what the message names; `save_pretrained` of transformers writes model and tokenizer "
        "so. Then `kubectl finetune retry NAME`."
    ),
    "AdapterNotFound": f"List the folder that `spec.model.adapterFrom` names, and correct the URI. {AGAIN}",
    "UnsupportedAdapter": (
        "Name a folder as PEFT's `save_pretrained` writes it, of a plain LoRA; train that adapter again where it "
        f"is damaged. {AGAIN}"
    ),
    "AdapterDoesNotFit": (
        "Set `spec.model.uri` to the model and revision that the adapter was trained for; its "
        f"`adapter_config.json` names them. {AGAIN}"
    ),
    "CheckpointNotFound": (
        "Leave it out, to train from the start: `kubectl finetune retry NAME --set checkpoint.resumeFrom=null`."
    ),
    "CheckpointDoesNotFit": (
        "Make the settings that the message names the same as in the other job, or train from the start: `kubectl "
        "finetune retry NAME --set checkpoint.resumeFrom=null`."
    ),
    "InvalidChatTemplate": (
        "Correct the line of `spec.model.chatTemplate` that the message names, or leave it out to take the "
        "model's own. Try it without a cluster: `kubectl finetune check DATA --model MODEL`."
    ),
    "TargetModulesNotFound": (
        "Choose from the modules that the message lists, or leave it out: `kubectl finetune retry NAME --set "
        "tuning.lora.targetModules=null`."
    ),
    "DataFileNotFound": f"List the folder (`aws s3 ls URI`), and correct the URI in `spec.dataset`. {AGAIN}",
    "InvalidFile": (
        "Do to the file what the message says (save as UTF-8, give it the right suffix, upload it again), then "
        "`kubectl finetune retry NAME`."
    ),
    "InvalidRow": (
        "Correct the row at the file and line that the message names. `kubectl finetune check DATA --model MODEL` "
        "finds the next one without a cluster; then upload, and `kubectl finetune retry NAME`."
    ),
    "EmptyDataset": (
        "See in `data-report.md`, or with `kubectl finetune check DATA --model MODEL`, why rows were left out; "
        f"loosen `spec.dataset.quality`, or give other rows. {AGAIN}"
    ),
    "UnknownFormat": f"Name the columns in `spec.dataset.train[0].columns`, or write `spec.dataset.train[0].template`. {AGAIN}",
    "FormatDoesNotFitMethod": f"Set `spec.method` to one that the message names, or give data of the right kind. {AGAIN}",
    "ColumnMissing": (
        "Correct the column's name in `spec.dataset`, or add the column to the data; the message lists those "
        f"there are. {AGAIN}"
    ),
    "InvalidTemplate": f"Write `{{column}}` for a value, and `{{{{` or `}}}}` for a brace. {AGAIN}",
    "TemplateColumnMissing": (
        "Correct the name in the template, or add the column to the data; the message lists those there are. "
        f"{AGAIN}"
    ),
    "NoAssistantTurn": (
        "Add the answer to the row at the file and line that the message names, or remove the row. Upload, then "
        "`kubectl finetune retry NAME`."
    ),
    "NothingToLearn": (
        "See whether the right columns are read: `kubectl finetune check DATA --model MODEL` tells what each "
        "source was read as, and how much of it is learned."
    ),
    "AllRowsTooLong": f"Raise `spec.training.maxLength`, or shorten what comes before the answers. {AGAIN}",
    "ModelDoesNotFit": (
        "Take one of the settings that the message names, or a larger GPU; `kubectl finetune estimate FILE "
        f"--gpu-memory 80Gi` tries others without a cluster. {AGAIN}"
    ),
    "UnsupportedHere": f"Set the field that the message names as it says, or use a machine or an image that can do it. {AGAIN}",
    "NonFiniteLoss": (
        "Lower the learning rate: `kubectl finetune retry NAME --set training.learningRate=RATE` with a tenth of "
        "it. If it comes back, look at the rows: `kubectl finetune check DATA --model MODEL`."
    ),
    "SettingsDoNotFit": f"Change one of the two settings that the message names, or leave it out (`--set FIELD=null`). {AGAIN}",
    "InvalidGate": (
        "Write one comparison, such as `tuned.loss < 0.9 * base.loss`, in each entry of `spec.evaluation.gate`. "
        f"{AGAIN}"
    ),
    "InvalidBatchSize": (
        "Set `spec.training.globalBatchSize` to a multiple of the processes, and `spec.training.microBatchSize` "
        f"to `Auto`. {AGAIN}"
    ),
    "GateNotMet": (
        "`kubectl finetune status NAME` shows the figures, and `report.html` in the folder that the message names "
        f"the answers. Change data, settings or the gate. {AGAIN}"
    ),
    "SecretMissing": (
        "Create the Secret, or add the key that the message names: `kubectl create secret generic SECRET -n "
        "NAMESPACE --from-literal=KEY=VALUE`. The job goes on by itself."
    ),
    "ConfigMapMissing": (
        "Create it: `kubectl create configmap CONFIGMAP -n NAMESPACE --from-file=FILE`. The job goes on by "
        "itself."
    ),
    "EndpointUnreachable": (
        "Check the address of the message, the network and its NetworkPolicies, and whether the certificate's CA "
        "is known (`extraCa` of the profile). The job goes on by itself."
    ),
    "StorageUnavailable": (
        "Nothing, if the storage comes back: the job goes on by itself. If not, tell who runs it what the message "
        "says."
    ),
    "ScratchFull": (
        "The disk does not grow: `kubectl delete ftj NAME`, raise `spec.resources.scratch` in its YAML, apply it. It begins "
        "again."
    ),
    "PeerMissing": (
        "`kubectl get pods -n NAMESPACE` shows which pod does not run, and `kubectl describe pod POD` why. If all "
        "run, ask the admin for a NetworkPolicy that lets them reach each other."
    ),
    "Interrupted": BY_ITSELF,
    "PeerLost": (
        "Nothing: the job goes on by itself. The cause is told by the pod that went first: `kubectl get pods -n "
        "NAMESPACE`."
    ),
    "Superseded": BY_ITSELF,
    "AccessDenied": (
        "Correct the keys in the Secret that the message names, or the rights of their owner (list, read; for the "
        "output write and delete), then `kubectl finetune retry NAME`."
    ),
    "GatedModel": (
        "Accept the model's conditions on its page of the Hub, and put a token of that account into the Secret as "
        "`HF_TOKEN`; then `kubectl finetune retry NAME`."
    ),
    "OutOfMemory": (
        "Lower `spec.training.maxLength`, turn `spec.training.activationCheckpointing` on, take "
        f"`spec.tuning.type: QLoRA`, or a larger GPU. {AGAIN}"
    ),
    "InternalError": (
        "It is tried again up to `spec.runPolicy.maxAttempts`. Please report it, with `kubectl finetune logs "
        "NAME` and the job's YAML."
    ),
    "AcceleratorMissing": (
        "Ask the admin to look at the node: its driver, its device plugin. The next attempt may get another node."
    ),
    "RankDied": (
        "Where the message says memory, raise `spec.resources.memory`. Otherwise `kubectl finetune logs NAME` "
        "ends with what it did last; please report it with that log."
    ),
    "WorkerDied": f"Raise `spec.resources.prepare.memory`. {AGAIN}",
    "Stalled": (
        "Nothing, if it happens once: the next attempt goes on. If each step is slow, raise "
        "`spec.runPolicy.stallTimeoutSeconds`; if it always stops at one step, please report it with `kubectl "
        "finetune logs NAME`."
    ),
}
"""Reason -> what to do, in sentences."""
