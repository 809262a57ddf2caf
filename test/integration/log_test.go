//go:build integration

package integration

import (
	"os"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// testLogger returns a logger that discards everything unless OPERATOR_LOG is set.
func testLogger() logr.Logger {
	if os.Getenv("OPERATOR_LOG") == "" {
		return logr.Discard()
	}
	return zap.New(zap.UseDevMode(true))
}
