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
    Reason.NOT_YET_SUPPORTED: (
        "Set the field to something that the message says works today, or leave it out: `kubectl finetune retry NAME "
        "--set FIELD=null` runs it under a new name. A field of the profile is the admin's to remove; then "
        "`kubectl finetune retry NAME`."
    ),
    Reason.POLICY_DENIED: (
        f"The message quotes the rule: change the field that it names, or ask the admin for another profile. {AGAIN}"
    ),
    Reason.PROFILE_NOT_FOUND: (
        "Ask the admin which FineTuneProfiles there are. If the missing one is created, the job goes on by itself; or "
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
        "Shorten `spec.evaluation.samples`, `spec.dataset.quality.blocklist` or the templates "
        "(`spec.dataset.train[].template`, `spec.model.chatTemplate`), and apply the job under a new name."
    ),
    Reason.RUN_LOST: (
        "`kubectl finetune retry NAME` runs it under a new name. Nobody should delete ConfigMaps that a "
        "FineTuneJob owns."
    ),
    Reason.NAME_TAKEN: (
        "See who made the object that the message names (`kubectl get KIND OBJECT -o yaml`). Ask them to remove it, and "
        "the job goes on by itself; or apply the job under a new name."
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
        "Nothing; `kubectl get workloads -n NAMESPACE` shows what waits in this namespace (jobs of other namespaces may "
        "be ahead of it). To change the queue, suspend the job first."
    ),
    Reason.QUEUE_NOT_NAMED: (
        "`kubectl finetune suspend NAME`, set the field that the message names with `kubectl edit ftj NAME`, and "
        "`kubectl finetune resume NAME`. Or ask the admin for a default in the profile, `kubectl delete ftj NAME`, and "
        "apply it again."
    ),
    Reason.WORKLOAD_MISSING: (
        "See whether the WorkloadPriorityClass that the message names exists; otherwise ask the admin whether Kueue runs."
    ),
    Reason.INADMISSIBLE: (
        "`kubectl get localqueues -n NAMESPACE` lists the queues. If the name is wrong: `kubectl finetune suspend NAME`, "
        "correct it with `kubectl edit ftj NAME`, and `kubectl finetune resume NAME`. If the queue is missing or stopped, "
        "ask the admin."
    ),
    Reason.DEACTIVATED: (
        "Read the message. If a person did it, `kubectl patch workload WORKLOAD -n NAMESPACE --type=merge "
        """-p '{"spec":{"active":true}}'` lets the job go on; if Kueue gave up, correct what it names and """
        "`kubectl finetune retry NAME`."
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
        "Wait for other pods to end, or ask the admin for nodes. If the labels or taints are wrong: `kubectl finetune suspend "
        "NAME`, correct `spec.scheduling` with `kubectl edit ftj NAME`, and `kubectl finetune resume NAME`. To ask for less: "
        "`kubectl delete ftj NAME`, lower `spec.resources`, apply it."
    ),
    Reason.QUOTA_EXCEEDED: (
        "`kubectl describe quota -n NAMESPACE` shows what is used. Wait, ask the admin for more, or ask for less: "
        "`kubectl delete ftj NAME`, lower `spec.resources`, apply it."
    ),
    Reason.POD_REJECTED: "The message names the rule: change what it forbids, or ask the admin.",
    Reason.SERVICE_ACCOUNT_MISSING: (
        "`kubectl create serviceaccount ACCOUNT -n NAMESPACE`, and the job goes on by itself; or apply the job under a new "
        "name with the right `spec.serviceAccountName`."
    ),
    Reason.PRIORITY_CLASS_MISSING: (
        "Ask the admin which PriorityClasses there are. `kubectl finetune suspend NAME`, correct "
        "`spec.scheduling.priorityClassName` with `kubectl edit ftj NAME`, and `kubectl finetune resume NAME`."
    ),
    Reason.SECRET_MISSING: (
        "Create it: `kubectl create secret generic SECRET -n NAMESPACE --from-literal=KEY=VALUE`; the job goes on "
        "by itself."
    ),
    Reason.CONFIG_MAP_MISSING: (
        "Create it: `kubectl create configmap CONFIGMAP -n NAMESPACE --from-file=ca.crt=FILE`; the job goes on by "
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
    Reason.NOT_THERE_YET: "`kubectl finetune logs NAME` says what is missing; provide it, and the job goes on by itself.",
    Reason.INTERRUPTED: BY_ITSELF,
    Reason.ACCESS_DENIED: (
        "`kubectl finetune logs NAME` says where. Correct the keys in the Secret, then `kubectl finetune retry "
        "NAME`."
    ),
    Reason.GPU_OUT_OF_MEMORY: f"Lower `spec.training.maxLength`, set `spec.tuning.type` to `QLoRA`, or use a larger GPU. {AGAIN}",
    Reason.TRAINER_FAILED: (
        "`kubectl finetune logs NAME` ends with the cause. If it is not the machine's, please report it with that "
        "log."
    ),
    Reason.MEMORY_KILLED: f"Raise `spec.resources.memory` (of Prepare: `spec.resources.prepare.memory`). {AGAIN}",
    Reason.SCRATCH_EXCEEDED: f"Raise `spec.resources.scratch`. {AGAIN}",
    Reason.NO_LAST_WORD: (
        "Nothing. If it uses up the attempts, please report it with the output of `kubectl finetune logs NAME`."
    ),
    Reason.EVICTED: BY_ITSELF,
    Reason.POD_LOST: BY_ITSELF,
    Reason.NODE_LOST: "Nothing: the job goes on elsewhere. The admin may want to look at the node.",
    Reason.JOB_DELETED: "Nothing. To stop a job, `kubectl finetune suspend NAME`, or delete the FineTuneJob itself.",
    Reason.PENDING_DEADLINE_EXCEEDED: (
        "Provide what the message names, then `kubectl finetune retry NAME`; `spec.runPolicy.pendingDeadlineSeconds` "
        "says how long it may wait."
    ),
    Reason.ACTIVE_DEADLINE_EXCEEDED: (
        "`kubectl finetune retry NAME --from-checkpoint --set runPolicy.activeDeadlineSeconds=SECONDS` goes on "
        "from the last checkpoint; where the message names no checkpoint, leave `--from-checkpoint` out."
    ),
    Reason.NO_PROGRESS: (
        "Save more often: `kubectl finetune retry NAME --from-checkpoint --set checkpoint.everyMinutes=5`, without "
        "`--from-checkpoint` where the message says that there is no checkpoint yet; or ask the admin what interrupts the job."
    ),
    Reason.API_DENIED: (
        "The message is the API server's: change what it forbids, or ask the admin whether the operator lacks a "
        "permission."
    ),
    Reason.STATUS_REFUSED: "Ask the admin to install the CRDs of this operator's version.",
    Reason.API_UNAVAILABLE: BY_ITSELF,
}
"""Reason -> what to do, in sentences."""
