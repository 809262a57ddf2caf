// Command release builds and checks the images and archives of a release, without a container engine and without emulation: their
// Dockerfiles only copy files, which Go has cross-compiled.
//
//	release push -file Dockerfile -context 'dist/build/{arch}' -tag REGISTRY/NAME:v1.2.3 [...]
//	release verify [-images PREFIX -in FILE...] REFERENCE...
//	release inspect REFERENCE
//	release sbom -program FILE -name NAME -version 1.2.3
//	release notes -changelog CHANGELOG.md -version 1.2.3
//	release template -template catalog/template.yaml -version 1.2.3 -bundle REFERENCE
//	release archive -program FILE -name NAME -version 1.2.3 -platform OS/ARCHITECTURE [FILE...]
//	release krew -name NAME -version 1.2.3 -url ADDRESS ARCHIVE...
//
// push prints the reference of the image with its digest. verify pulls images, and checks them and the references to them in
// files. inspect prints the index of an image.
// sbom prints the SPDX document of a Go program, notes a section of the changelog,
// template the template of the catalog with the bundle of the version. archive packs the kubectl plugin for users, krew prints its manifest for
// kubectl's plugin manager. tools/release.sh uses them all.
package main
