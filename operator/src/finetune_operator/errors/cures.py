"""What a person does about each reason of the operator: what to look at, what to type. NAME stands for the job's name.

The sentence beside a reason names the field, the object or the number; this says what that kind of trouble asks for.
"""

from collections.abc import Mapping

from finetune_operator.errors.reasons import Reason

NOTHING = "Nothing."
BY_ITSELF = "Nothing: the job goes on by itself."
AGAIN = "Then `kubectl finetune retry NAME --set FIELD=VALUE`."

CURES: Mapping[Reason, str] = {
    Reason.ACCEPTED: NOTHING,
    Reason.SPEC_INVALID: f"Correct the field that the message names. {AGAIN}",
    Reason.NOT_YET_SUPPORTED: "Leave the field out: `kubectl finetune retry NAME --set FIELD=null` runs it under a new name.",
    Reason.POLICY_DENIED: (
        "Change the field that the message names, or ask the admin; `kubectl get ftp -o yaml` shows the rules. "
        f"{AGAIN}"
    ),
    Reason.PROFILE_NOT_FOUND: (
        "`kubectl get ftp` lists those there are. Ask the admin for the missing one, and the job goes on; or "
        "`kubectl delete ftj NAME`, name another one in `spec.profile`, and apply it."
    ),
    Reason.PROFILE_INVALID: (
        "Ask the admin to correct the field of the profile that the message names; the job goes on by itself."
    ),
    Reason.JOB_NOT_FOUND: (
        "Apply the job that `jobRef` names, and this one goes on by itself. If the name is wrong, apply this one "
        "corrected, under a new name."
    ),
    Reason.WAITING_FOR_JOB: "Nothing; `kubectl finetune status OTHER` shows how far the other job is.",
    Reason.REFERENCED_JOB_FAILED: (
        "`kubectl finetune status OTHER` says why. Run that one again (`kubectl finetune retry OTHER`), then this "
        "one, with the new name in its `jobRef`."
    ),
    Reason.RUN_TOO_LARGE: (
        "Shorten `spec.evaluation.samples`, `spec.dataset.quality.blocklist` or the templates, and apply the job "
        "under a new name."
    ),
    Reason.RUN_LOST: (
        "`kubectl finetune retry NAME` runs it under a new name. Nobody should delete ConfigMaps that a "
        "FineTuneJob owns."
    ),
    Reason.NAME_TAKEN: (
        "See whose the object is that the message names (`kubectl get KIND OBJECT -o yaml`), and delete it; the "
        "job goes on by itself."
    ),
    Reason.PREPARING: "Nothing; `kubectl finetune logs NAME --stage prepare` shows what it reads.",
    Reason.PREPARED: "Nothing. Look at the advice on the data: `kubectl finetune status NAME`.",
    Reason.ALREADY_PUBLISHED: "Nothing. To train again, apply the job under a new name, with an output of its own.",
    Reason.NOT_STARTED: NOTHING,
    Reason.STARTING: NOTHING,
    Reason.RUNNING: "Nothing; `kubectl finetune watch NAME` follows it.",
    Reason.PROGRESS_UNAVAILABLE: (
        "If it stays so: `kubectl finetune logs NAME`, and ask the admin whether a NetworkPolicy lets the "
        "operator reach port 8080 of the pod."
    ),
    Reason.ENDING: NOTHING,
    Reason.RETRYING: "Nothing. If it goes on like this, `kubectl finetune logs NAME` says more.",
    Reason.QUEUED: (
        "Nothing; `kubectl get workloads -n NAMESPACE` shows who is before it. To change the queue, suspend the "
        "job first."
    ),
    Reason.QUEUE_NOT_NAMED: (
        "`kubectl finetune suspend NAME`, set the field that the message names with `kubectl edit ftj NAME`, and "
        "`kubectl finetune resume NAME`; or ask the admin for a default in the profile."
    ),
    Reason.WORKLOAD_MISSING: (
        "See whether the WorkloadPriorityClass of the message exists; otherwise ask the admin whether Kueue runs."
    ),
    Reason.INADMISSIBLE: (
        "Correct what the message names: `kubectl get localqueues -n NAMESPACE` lists the queues. Ask the admin "
        "where the queue is stopped."
    ),
    Reason.DEACTIVATED: (
        "Read the message. If a person did it, make the Workload active again (its `active: true`); if Kueue gave up, "
        "correct what it names and `kubectl finetune retry NAME`."
    ),
    Reason.PREEMPTED: BY_ITSELF,
    Reason.ADMITTED: NOTHING,
    Reason.SUSPENDED: "`kubectl finetune resume NAME` lets it go on.",
    Reason.RESUMED: NOTHING,
    Reason.NOT_PUBLISHED: NOTHING,
    Reason.PUBLISHED: "Nothing. `kubectl finetune report NAME` and `kubectl finetune chat NAME` show what it learned.",
    Reason.IMAGE_PULL_FAILED: (
        "Ask the admin to check the image's name (chart or profile), the registry and the pull secrets; the job "
        "goes on by itself."
    ),
    Reason.UNSCHEDULABLE: (
        "Wait for other pods to end, ask the admin for nodes, or ask for less: `kubectl delete ftj NAME`, lower "
        "`spec.resources`, apply it."
    ),
    Reason.QUOTA_EXCEEDED: (
        "`kubectl describe quota -n NAMESPACE` shows what is used. Wait, ask the admin for more, or ask for less: "
        "`kubectl delete ftj NAME`, lower `spec.resources`, apply it."
    ),
    Reason.POD_REJECTED: "The message names the rule: change what it forbids, or ask the admin.",
    Reason.SERVICE_ACCOUNT_MISSING: (
        "`kubectl create serviceaccount ACCOUNT -n NAMESPACE`, and the job goes on by itself; or correct "
        "`spec.serviceAccountName` in a job of a new name."
    ),
    Reason.PRIORITY_CLASS_MISSING: (
        "`kubectl get priorityclasses` lists them. `kubectl finetune suspend NAME`, correct "
        "`spec.scheduling.priorityClassName` with `kubectl edit ftj NAME`, and `kubectl finetune resume NAME`."
    ),
    Reason.SECRET_MISSING: (
        "Create it: `kubectl create secret generic SECRET -n NAMESPACE --from-literal=KEY=VALUE`; the job goes on "
        "by itself."
    ),
    Reason.CONFIG_MAP_MISSING: (
        "Create it: `kubectl create configmap NAME_OF_IT -n NAMESPACE --from-file=FILE`; the job goes on by "
        "itself."
    ),
    Reason.CLAIM_MISSING: (
        "`kubectl describe pvc -n NAMESPACE` says why. Create the claim, or ask the admin for storage; the job "
        "goes on by itself."
    ),
    Reason.VOLUME_FAILED: (
        "`kubectl describe pvc -n NAMESPACE`; where several nodes use the claim it must be ReadWriteMany. Ask the "
        "admin if it stays so."
    ),
    Reason.CREATE_CONTAINER_FAILED: "Ask the admin to look at the node and its runtime class.",
    Reason.INPUT_REFUSED: f"`kubectl finetune logs NAME` says what is wrong with the spec or the data. {AGAIN}",
    Reason.GATE_NOT_MET: f"`kubectl finetune logs NAME` shows the figures. Change data, settings or the gate. {AGAIN}",
    Reason.NOT_THERE_YET: "`kubectl finetune logs NAME` says what is missing; make it, and the job goes on by itself.",
    Reason.INTERRUPTED: BY_ITSELF,
    Reason.ACCESS_DENIED: (
        "`kubectl finetune logs NAME` says where. Correct the keys in the Secret, then `kubectl finetune retry "
        "NAME`."
    ),
    Reason.GPU_OUT_OF_MEMORY: f"Lower `spec.training.maxLength`, take `spec.tuning.type: QLoRA`, or a larger GPU. {AGAIN}",
    Reason.TRAINER_FAILED: (
        "`kubectl finetune logs NAME` ends with the cause. If it is not the machine's, please report it with that "
        "log."
    ),
    Reason.MEMORY_KILLED: f"Raise `spec.resources.memory` (of Prepare: `spec.resources.prepare.memory`). {AGAIN}",
    Reason.SCRATCH_EXCEEDED: f"Raise `spec.resources.scratch`. {AGAIN}",
    Reason.NO_LAST_WORD: "Nothing. If attempts are used up by it, please report it with `kubectl finetune logs NAME`.",
    Reason.EVICTED: BY_ITSELF,
    Reason.POD_LOST: BY_ITSELF,
    Reason.NODE_LOST: "Nothing: the job goes on elsewhere. The admin may want to look at the node.",
    Reason.JOB_DELETED: "Nothing. To stop a job, `kubectl finetune suspend NAME`, or delete the FineTuneJob itself.",
    Reason.PENDING_DEADLINE_EXCEEDED: (
        "Make what the message names, then `kubectl finetune retry NAME`; `spec.runPolicy.pendingDeadlineSeconds` "
        "says how long it may wait."
    ),
    Reason.ACTIVE_DEADLINE_EXCEEDED: (
        "`kubectl finetune retry NAME --from-checkpoint --set runPolicy.activeDeadlineSeconds=SECONDS` goes on "
        "from the last checkpoint."
    ),
    Reason.NO_PROGRESS: (
        "Save more often: `kubectl finetune retry NAME --from-checkpoint --set checkpoint.everyMinutes=5`; or ask "
        "the admin who takes the place away."
    ),
    Reason.API_DENIED: (
        "The message is the API server's: change what it forbids, or ask the admin whether the operator lacks a "
        "right."
    ),
    Reason.STATUS_REFUSED: "Ask the admin to install the CRDs of this operator's version.",
    Reason.API_UNAVAILABLE: BY_ITSELF,
}
"""Reason -> what to do, in sentences."""
