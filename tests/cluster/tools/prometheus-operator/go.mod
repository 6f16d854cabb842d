// The kinds that our monitors and alerts are written for: CustomResourceDefinitions alone, nothing of it is built.
module finetune.dev/tests/cluster/tools/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.89.0
