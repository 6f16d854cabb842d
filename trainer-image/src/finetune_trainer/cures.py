"""What a person does about each reason of `errors.py`: what to look at, what to type. NAME stands for the job's name.

The sentence beside a reason names the field, the file and line, or the number; this says what that kind of trouble asks for.
"""

from collections.abc import Mapping

BY_ITSELF = "Nothing: the job goes on by itself."
AGAIN = "Then `kubectl finetune retry NAME --set FIELD=VALUE`."
CHECKED = "`kubectl finetune check FILE`, with the job's YAML as FILE,"

CURES: Mapping[str, str] = {
    "InvalidRun": (
        f"If the message names a field of the spec, correct it. {AGAIN} Otherwise ask the admin to install "
        "operator and trainer image of the same version."
    ),
    "NotYetSupported": (
        "Leave the field out (`kubectl finetune retry NAME --set FIELD=null`), or set it to something that the message says "
        "works today (`--set FIELD=VALUE`)."
    ),
    "OutputExists": (
        "Give the job an output of its own: `kubectl finetune retry NAME` does so. To replace the result that is there, "
        "`kubectl finetune retry NAME --set output.uri=URI --set output.overwrite=true` with the URI in the message."
    ),
    "BucketNotFound": f"Create the bucket, or correct the URI and the endpoint (`AWS_ENDPOINT_URL` in the Secret). {AGAIN}",
    "ModelNotFound": f"Open the model's page on the Hub, or list the folder, and correct `spec.model.uri`. {AGAIN}",
    "ModelChanged": (
        "Somebody replaced the model's files while the job ran. `kubectl finetune retry NAME` prepares the data "
        "for the new ones."
    ),
    "UnsupportedModelFiles": (
        "Put into the folder what the message says is missing (transformers' `save_pretrained` writes model and tokenizer), or "
        "name another model (`--set model.uri=URI`). Then `kubectl finetune retry NAME`."
    ),
    "AdapterNotFound": f"List the folder that `spec.model.adapterFrom` names, and correct the URI. {AGAIN}",
    "UnsupportedAdapter": (
        "Name the folder of a plain LoRA adapter, as PEFT's `save_pretrained` writes it; if it is damaged, copy it there again, "
        f"or train it again. {AGAIN}"
    ),
    "AdapterDoesNotFit": (
        "Set `spec.model.uri` to the model and revision that the adapter was trained for; its "
        f"`adapter_config.json` names them. {AGAIN}"
    ),
    "CheckpointNotFound": (
        "Leave `spec.checkpoint.resumeFrom` out, to train from the start: `kubectl finetune retry NAME --set "
        "checkpoint.resumeFrom=null`."
    ),
    "CheckpointDoesNotFit": (
        "Make the settings that the message names the same as in the other job, or train from the start: `kubectl "
        "finetune retry NAME --set checkpoint.resumeFrom=null`."
    ),
    "InvalidChatTemplate": (
        "Correct `spec.model.chatTemplate` as the message says, or leave it out to take the model's own; where the model's own "
        f"is at fault, set `spec.model.chatTemplate` to one that works. {CHECKED} tries it without a cluster."
    ),
    "TargetModulesNotFound": (
        "Choose from the modules that the message lists, or leave the field out: `kubectl finetune retry NAME --set "
        "tuning.lora.targetModules=null`, or `--set tuning.lora.modulesToSave=null` where the message names that."
    ),
    "DataFileNotFound": (
        "See what is there (for s3:// `aws s3 ls URI`, for hf:// the dataset's page), and correct the URI or the split in "
        f"`spec.dataset`. {AGAIN}"
    ),
    "InvalidFile": (
        "Change the file as the message says (save it as UTF-8, give it the right suffix, upload it again), then "
        "`kubectl finetune retry NAME`."
    ),
    "InvalidRow": (
        f"Correct the row at the file and line that the message names. {CHECKED} finds the next one without a cluster; then "
        "upload, and `kubectl finetune retry NAME`."
    ),
    "EmptyDataset": (
        f"{CHECKED} shows why rows were left out, as `data-report.md` does; loosen `spec.dataset.quality`, or give other rows. "
        f"{AGAIN}"
    ),
    "UnknownFormat": f"Name the columns in `spec.dataset.train[0].columns`, or write `spec.dataset.train[0].template`. {AGAIN}",
    "FormatDoesNotFitMethod": (
        "Do one of the things that the message names: another `spec.method`, another `spec.training.lossOn`, or data of the "
        f"right kind. {AGAIN}"
    ),
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
        f"See whether the right columns are read: {CHECKED} shows what each source was read as, and how much of it is learned."
    ),
    "AllRowsTooLong": f"Raise `spec.training.maxLength`, or shorten what comes before the answers. {AGAIN}",
    "ModelDoesNotFit": (
        "Take one of the settings that the message names, or a larger GPU; `kubectl finetune estimate FILE "
        f"--gpu-memory 80Gi` tries others without a cluster. {AGAIN}"
    ),
    "UnsupportedHere": (
        "Set the field that the message names to one of the values it gives, or use a machine or an image that can do it. "
        f"{AGAIN}"
    ),
    "NonFiniteLoss": (
        "Lower the learning rate: `kubectl finetune retry NAME --set training.learningRate=RATE` with a tenth of "
        f"it. If it comes back, look at the rows: {CHECKED} shows how they were read."
    ),
    "SettingsDoNotFit": f"Change the setting that the message names, or leave it out (`--set FIELD=null`). {AGAIN}",
    "InvalidGate": (
        "Write one comparison, such as `tuned.loss < 0.9 * base.loss`, in each entry of `spec.evaluation.gate`; where the "
        f"message names a metric that is not measured, add it to `spec.evaluation.metrics`. {AGAIN}"
    ),
    "InvalidBatchSize": (
        "Set `spec.training.globalBatchSize` to a multiple of the number of GPUs (on CPU: of training processes), and "
        f"`spec.training.microBatchSize` to `Auto`. {AGAIN}"
    ),
    "GateNotMet": (
        "`kubectl finetune status NAME` shows the figures; `report.html`, in the folder that the message names, shows "
        f"the answers. Change the data, the settings or the gate. {AGAIN}"
    ),
    "SecretMissing": (
        "Create the Secret: `kubectl create secret generic SECRET -n NAMESPACE --from-literal=KEY=VALUE`. If it is there and "
        'lacks a key: `kubectl patch secret SECRET -n NAMESPACE -p \'{"stringData":{"KEY":"VALUE"}}\'`. The job then goes on by '
        "itself."
    ),
    "ConfigMapMissing": (
        "Create it: `kubectl create configmap CONFIGMAP -n NAMESPACE --from-file=FILE`. The job goes on by "
        "itself."
    ),
    "EndpointUnreachable": (
        "Check the address in the message, the network and its NetworkPolicies, and whether the certificate's CA "
        "is known (`extraCa` of the profile). The job goes on by itself."
    ),
    "StorageUnavailable": (
        "Nothing, if the storage comes back: the job goes on by itself. If it does not, pass the message on to whoever runs it."
    ),
    "ScratchFull": (
        "The disk cannot grow: `kubectl delete ftj NAME`, raise `spec.resources.scratch` in its YAML, and apply it again. The "
        "job then starts from the beginning."
    ),
    "PeerMissing": (
        "`kubectl get pods -n NAMESPACE` shows which pod is not running, and `kubectl describe pod POD` says why. If all are "
        "running, ask the admin for a NetworkPolicy that lets them reach each other."
    ),
    "Interrupted": BY_ITSELF,
    "PeerLost": (
        "Nothing: the job goes on by itself. The pod that ended first says why: `kubectl get pods -n "
        "NAMESPACE`."
    ),
    "Superseded": BY_ITSELF,
    "AccessDenied": (
        "Correct the keys in the Secret that the message names, or the rights of their owner (list and read; for the "
        "output also write and delete), then `kubectl finetune retry NAME`."
    ),
    "GatedModel": (
        "Log in to the Hub, accept the conditions on the page of the model or dataset, and put a token of the same account into "
        "the Secret as `HF_TOKEN`; then `kubectl finetune retry NAME`."
    ),
    "OutOfMemory": (
        "Lower `spec.training.maxLength`, set `spec.tuning.type` to `QLoRA`, or use a larger GPU; if you set "
        f"`spec.training.activationCheckpointing` to `Off`, remove it. {AGAIN}"
    ),
    "InternalError": (
        "It is tried again, up to `spec.runPolicy.maxAttempts` times. Please report it, with `kubectl finetune logs "
        "NAME` and the job's YAML."
    ),
    "AcceleratorMissing": (
        "Ask the admin to look at the node: its driver, its device plugin. The next attempt may get another node."
    ),
    "RankDied": (
        "Where the message says memory, raise `spec.resources.memory`. Otherwise `kubectl finetune logs NAME` "
        "ends with what it did last; please report it with that log."
    ),
    "WorkerDied": (
        "Where the message says memory, raise `spec.resources.prepare.memory`: `kubectl finetune retry NAME --set "
        "resources.prepare.memory=8Gi`. Otherwise please report it with `kubectl finetune logs NAME --stage prepare`."
    ),
    "Stalled": (
        "Nothing, if it happens once: the next attempt goes on. If each step is slow, raise "
        "`spec.runPolicy.stallTimeoutSeconds`; if it always stops at one step, please report it with `kubectl "
        "finetune logs NAME`."
    ),
}
"""Reason -> what to do, in sentences."""
