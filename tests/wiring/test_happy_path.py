"""From `kubectl apply` to an adapter, with the real kopf and the real client."""


async def test_a_job_ends_with_its_adapter_and_takes_at_most_eight_requests(lab):
    await lab.start()
    before = lab.server.counted()
    lab.create()
    status = await lab.settled()
    spent = lab.server.counted() - before
    assert status["state"] == "Succeeded"
    assert status["adapter"]["uri"] == "s3://team-a/adapters/support-bot"
    assert status["dataset"]["rows"] == 11400
    assert status["progress"]["text"] == "500/500"
    assert [(one["stage"], one["outcome"]) for one in status["attempts"]] == [
        ("Prepare", "Succeeded"),
        ("Train", "Succeeded"),
    ]
    assert lab.jobs() == ["prepare-1", "train-1"]
    counted = {key: count for key, count in spent.items() if key[1] not in {"events", "leases"}}
    assert sum(counted.values()) <= 8, counted
