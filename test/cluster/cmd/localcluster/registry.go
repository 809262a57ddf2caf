package main

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/cluster"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/registry"
)

// withRegistry runs fn while the image registry runs, with or without the cluster.
func (a app) withRegistry(ctx context.Context, fn func() error) error {
	if err := host.CheckPlatform(); err != nil {
		return err
	}
	if err := host.EnsureTools(ctx, a.p, registry.Tools); err != nil {
		return err
	}
	return registry.WithServer(ctx, a.Layout, a.p, cluster.Environment(), fn)
}

func printDigest(tag string, digest func() (v1.Hash, error)) error {
	hash, err := digest()
	if err != nil {
		return fmt.Errorf("read the digest of %s: %w", tag, err)
	}
	fmt.Printf("%s@%s\n", tag, hash)
	return nil
}
