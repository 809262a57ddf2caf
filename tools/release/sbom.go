package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"
)

const noAssertion = "NOASSERTION"

// sbom writes the SPDX document of a Go program: its modules and the standard library, as the linker has recorded them.
func sbom(file, name, version string, created time.Time, out io.Writer) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	program := module(info.Main.Path, version)
	program.PackageName, program.PackageFileName, program.PrimaryPackagePurpose = name, filepath.Base(file), "APPLICATION"
	program.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: digest}}

	document := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name + "-" + version,
		DocumentNamespace: "https://" + info.Main.Path + "/spdx/" + name + "-" + version + "-" + digest,
		CreationInfo: &spdx.CreationInfo{
			Created: created.UTC().Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: "tools/release"}},
		},
		Packages:      []*spdx.Package{program},
		Relationships: []*spdx.Relationship{relationship("DOCUMENT", common.TypeRelationshipDescribe, program)},
	}
	library := &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}
	for _, dependency := range append([]*debug.Module{library}, info.Deps...) {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		linked := module(dependency.Path, dependency.Version)
		linked.PackageComment = dependency.Sum // the hash in go.sum
		document.Packages = append(document.Packages, linked)
		document.Relationships = append(document.Relationships,
			relationship(program.PackageSPDXIdentifier, common.TypeRelationshipDependsOn, linked))
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return spdxjson.Write(document, out, spdxjson.Indent("  "))
}

// notInID matches the characters that an SPDX identifier may not have.
var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func module(path, version string) *spdx.Package {
	return &spdx.Package{
		PackageName: path, PackageVersion: version,
		PackageSPDXIdentifier:   common.ElementID("Package-" + notInID.ReplaceAllString(path+"-"+version, "-")),
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion,
		PackageCopyrightText: noAssertion,
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
			Locator: "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B"),
		}},
	}
}

func relationship(from common.ElementID, kind string, to *spdx.Package) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(from)), Relationship: kind,
		RefB: common.MakeDocElementID("", string(to.PackageSPDXIdentifier)),
	}
}
