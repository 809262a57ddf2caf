// Command crdtrim makes the CustomResourceDefinitions that controller-gen writes small enough for kubectl apply,
// which keeps a copy of the whole object in an annotation. Annotations are limited to 256 KiB.
//
// Most of the text in a CRD is not ours: a pod's volumes, affinity and security contexts come with the
// documentation of Kubernetes, once per version. crdtrim reads the Go types of the API, finds the
// fields whose type is in k8s.io/api, and removes the descriptions below them. It keeps the descriptions of our own fields,
// for kubectl explain.
//
// crdtrim also narrows the patterns of quantities and times to what Go decodes at a bounded cost.
//
//	crdtrim -api DIR FILE...
//
// DIR has one package per version, with the name of the version. The files are rewritten in place. crdtrim fails if
// a version is larger than the limit, so that two of them always fit.
package main

import (
	"flag"
	"fmt"
	"os"
)

// versionLimit is the largest size of one version as compact JSON, in bytes: two of them and the rest of the object
// fit into the 262144 bytes of annotations.
const versionLimit = 120 << 10

func main() {
	api := flag.String("api", "", "folder with the API packages, one per version")
	flag.Parse()
	if *api == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: crdtrim -api DIR FILE...")
		os.Exit(2)
	}
	for _, path := range flag.Args() {
		if err := trimFile(path, *api); err != nil {
			fmt.Fprintf(os.Stderr, "crdtrim: %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

// trimFile rewrites one CRD and prints the size of each version.
func trimFile(path, api string) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	after, sizes, err := trimCRD(before, api)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		fmt.Fprintf(os.Stderr, "crdtrim: version %s is %d KiB of at most %d KiB\n", size.version, size.bytes>>10, versionLimit>>10)
		if size.bytes > versionLimit {
			return fmt.Errorf("version %s is %d bytes as JSON, more than %d: two versions would no longer fit "+
				"into kubectl's annotation; shorten descriptions, or drop an embedded core type", size.version, size.bytes, versionLimit)
		}
	}
	if err := os.WriteFile(path, after, 0o644); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
