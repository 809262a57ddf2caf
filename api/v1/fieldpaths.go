package v1

import (
	"regexp"
	"strings"
)

// fieldsOfV1 maps v2 field paths to v1.
var fieldsOfV1 = strings.NewReplacer(
	"spec.master.command", "spec.masterCommandSeed",
	"spec.worker.command", "spec.workerCommandSeed",
	"spec.worker.replicas", "spec.workerReplicas",
	"spec.testFiles.configMapRef", "spec.configMap",
	"spec.testFiles.libConfigMapRef", "spec.libConfigMap",
	"spec.master.labels", "spec.labels.master",
	"spec.worker.labels", "spec.labels.worker",
	"spec.master.annotations", "spec.annotations.master",
	"spec.worker.annotations", "spec.annotations.worker",
	"spec.scheduling.affinity", "spec.affinity",
	"spec.scheduling.tolerations", "spec.tolerations",
)

// pullSecret matches a v2 field whose items are plain strings in v1.
var pullSecret = regexp.MustCompile(`(spec\.imagePullSecrets\[\d+])\.name`)

// FieldPaths replaces the v2 field paths in a text by those of v1. Fields that v1 does not have keep their v2 path: they come from the
// annotation, or are the reason to move to v2.
func FieldPaths(text string) string {
	return pullSecret.ReplaceAllString(fieldsOfV1.Replace(text), "$1")
}
