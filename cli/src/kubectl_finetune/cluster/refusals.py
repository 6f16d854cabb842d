"""What an API server refuses, as sentences of ours."""

import json

from kubernetes.client.exceptions import ApiException

from kubectl_finetune import errors


def of(error: ApiException, doing: str, *, namespace: str | None, job: str | None) -> errors.CliError:
    """A refusal. `namespace`: None for all of them; `job`: the FineTuneJob that was asked for, if it was one."""
    said = _message(error)
    where = f"in the namespace {namespace!r}" if namespace else "in all namespaces"
    match error.status:
        case 0 if "SSL" in str(error.reason):
            return errors.Outside(
                f"the cluster's certificate is not trusted ({_last(str(error.reason))}); correct certificate-authority in the "
                "kubeconfig"
            )
        case 401:
            return errors.Denied(
                f"the cluster does not know you ({said}); log in again, or choose another --context"
            )
        case 403:
            return _forbidden(said, doing, where, everywhere=namespace is None)
        case 404 if "page not found" in said:
            return errors.Outside(
                "this cluster does not know FineTuneJobs; ask the cluster's admin to install the operator's Helm chart"
            )
        case 404 if job is not None:
            return errors.NotThere(
                f"there is no FineTuneJob {job!r} {where}; `kubectl finetune list` shows those there are, and -n NAME looks in "
                "another namespace"
            )
        case 404:
            return errors.NotThere(f"cannot {doing} {where}: {said}; see whether it was deleted")
        case 409:
            return errors.Mistake(f"{said}; choose another name")
        case 400 if "waiting to start" in said:
            return errors.NotYet(f"cannot {doing} yet: {said}; `kubectl finetune watch` follows the job")
        case 422 | 400:
            return errors.Mistake(said)
    return errors.Outside(f"the cluster could not {doing}: {said or error.reason}; try again in a moment")


def _forbidden(said: str, doing: str, where: str, *, everywhere: bool) -> errors.CliError:
    if "exceeded quota" in said:
        return errors.NotYet(
            f"the quota is used up {where}: {said}; ask for less, or wait until other pods have ended"
        )
    narrower = "leave -A out (prune: add --this-namespace-only), or " if everywhere else ""
    return errors.Denied(
        f"you may not {doing} {where}: {said}; {narrower}ask the cluster's admin for the right"
    )


def silent(error: Exception, host: str) -> errors.Outside:
    """Nobody answers at `host`."""
    return errors.Outside(
        f"the cluster at {host} does not answer ({_short(error)}); check `kubectl cluster-info` and your network"
    )


def stranger(host: str) -> errors.Outside:
    """Somebody else answers at `host`."""
    return errors.Outside(f"what answers at {host} is not a Kubernetes API server; choose another --context")


def _message(error: ApiException) -> str:
    """What a metav1.Status says; the text itself where it is none."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else (error.body or "")
    try:
        return str(json.loads(body).get("message") or "")
    except (ValueError, AttributeError):
        return " ".join(str(body).split())[:300]


def _last(text: str) -> str:
    """The last line of it."""
    return " ".join(text.strip().splitlines()[-1].split())[:200]


def _short(error: Exception) -> str:
    """The cause at the end of a chain of wrapped errors."""
    cause = getattr(error, "reason", None) or error
    return " ".join(str(cause).rpartition(": ")[2].split())[:200] or type(error).__name__
