# Start with `make demo`, then `make test`. `make` alone lists all targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
.NOTPARALLEL:

# Settings; `make help` lists them.
LOCAL ?= 1
CLUSTER ?=
LOCUST_IMAGE ?=
IMG ?= localhost:5000/locust-k8s-operator:dev
BASE ?= gcr.io/distroless/static:nonroot
CONTAINER_TOOL ?= docker
# A number of executions, not a duration: Go reports a failure if the time ends during an execution.
FUZZTIME ?= 10000x
KUBERNETES_VERSIONS ?= $(shell grep -v '^\#' test/cluster/older/versions.txt)
OVERLAY ?= default
BUNDLE_VERSION ?= 3.0.0
# The registry of the releases.
REGISTRY ?= ghcr.io/abdelrhmanhamouda
IMAGE_BASE ?= $(REGISTRY)/locust-k8s-operator
override ALL_PLATFORMS := linux/amd64,linux/arm64,linux/ppc64le,linux/s390x
PLATFORMS ?= $(ALL_PLATFORMS)
PLUGIN_PLATFORMS ?= linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64
# Where the files of a release can be downloaded, in a folder for each version: the krew manifest refers to it.
DOWNLOADS ?= https://github.com/AbdelrhmanHamouda/locust-k8s-operator/releases/download
RELEASE_BASE ?= scratch
DIST ?= dist
BUNDLE_IMG ?= $(IMAGE_BASE)-bundle:v$(BUNDLE_VERSION)
SCORECARD_TEST_IMAGE ?= quay.io/operator-framework/scorecard-test:v1.42.2
OLM_RUN ?= .
TESTS ?= 300
WORKERS ?= 5
CHECK ?= all
SCALE_FLAGS ?=
CATALOG_IMG ?= $(IMAGE_BASE)-catalog:v$(BUNDLE_VERSION)
OPM_IMAGE ?= quay.io/operator-framework/opm:v1.65.0
OPERATORHUB_CATALOGS ?= latest
OPERATORHUB_BUNDLE ?=
CATALOG_TEMPLATE ?= catalog/template.yaml
CATALOG_DIR ?= bin/catalog
CATALOG_FLAGS ?=
CHART = charts/locust-k8s-operator
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The cache of downloads and builds, outside the clone.
LOCUST_OPERATOR_CACHE ?= $(HOME)/.cache/locust-operator
override LOCUST_OPERATOR_CACHE := $(abspath $(LOCUST_OPERATOR_CACHE))
export LOCUST_OPERATOR_CACHE

# Pinned tools, built on first use.
CONTROLLER_GEN = "$$(tools/build.sh controller-gen)"
CRD_REF_DOCS = "$$(tools/build.sh crd-ref-docs)"
KUSTOMIZE = "$$(tools/build.sh kustomize)"
GOLANGCI_LINT = "$$(tools/build.sh golangci-lint)"
HELM = "$$(tools/build.sh helm)"
export GOLANGCI_LINT_CACHE = $(LOCUST_OPERATOR_CACHE)/golangci-lint

# The embedded cluster. IN_CLUSTER is the prefix of commands that use it: it sets KUBECONFIG, puts the cluster's
# kubectl first on PATH, and sets the images that exist only there.
LOCALCLUSTER = go -C test/cluster run ./cmd/localcluster
IN_CLUSTER = settings="$$($(LOCALCLUSTER) env)"; eval "$$settings"; \
	LOCUST_IMAGE="$${LOCUST_IMAGE:-$$($(LOCALCLUSTER) locust-image)}"; export LOCUST_IMAGE; \
	IMG="$$(cat bin/local-image)"; export IMG;
IN_CLUSTER_BARE = settings="$$($(LOCALCLUSTER) env)"; eval "$$settings"; IMG="$$(cat bin/local-image)"; export IMG;

KUBECTL ?= $$(command -v kubectl || echo "$$($(LOCALCLUSTER) assets)/kubectl")

# All modules with Go code; the other go.mod files in tools/ only pin tools.
MODULES = . test/cluster tools tools/chart tools/observability tools/olm tools/recipes tools/release
# The packages of a module. The other programs of test/cluster are Kubernetes itself, which takes minutes to load.
PACKAGES = $(if $(filter test/cluster,$(1)),./cmd/... ./internal/...,./...)
# The tags of the suites in test/ and tools/release.
TAGS = integration,e2e,olm,release

# The race detector needs a C compiler.
RACE = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# Packages that start no goroutines, and whose tests take much longer with the race detector.
SEQUENTIAL = pkg/locust/cause pkg/locust/report pkg/report test/schema
empty :=
space := $(empty) $(empty)

# Coverage is measured for the product's packages, over all tests.
COVERED = ./api/...,./controllers/...,./pkg/...
# go test prints a coverage for each package; `make coverage` prints the total.
STRIP_COVERAGE = sed -E -e '/^\t.*coverage: 0\.0%/d' -e 's/[[:space:]]*coverage: [0-9.]+% of statements.*//'

##@ First steps

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET [NAME=VALUE...]" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nSettings and their current values\n'
	@printf '  %-22s %s\n' \
		'LOCAL' 'demo, test-e2e: 1 for the embedded cluster, 0 for your own (KUBECONFIG): $(LOCAL)' \
		'CLUSTER' 'test-e2e: kind for a cluster of its own, which kind creates with CONTAINER_TOOL: $(CLUSTER)' \
		'KEEP' 'test-e2e with CLUSTER=kind: 1 to keep the cluster for the next run' \
		'IMG' 'operator image to build, push or deploy, or of the chart: $(IMG)' \
		'LOCUST_IMAGE' 'Locust image for demo and test-e2e; empty: the one in the manifests, or in the embedded cluster' \
		'KUBERNETES_VERSIONS' 'test-kubernetes: $(KUBERNETES_VERSIONS)' \
		'OLM_RUN' 'test-olm: regular expression of the tests to run: $(OLM_RUN)' \
		'TESTS, WORKERS' 'bench-scale: number of tests, and of workers per test: $(TESTS), $(WORKERS)' \
		'CHECK' 'bench-scale: budgets to check: counts, all or none: $(CHECK)' \
		'SCALE_FLAGS' 'bench-scale and other scale targets: additional flags, see docs/scale.md' \
		'BUNDLE_VERSION' 'version of the OLM bundle: $(BUNDLE_VERSION)' \
		'REGISTRY' 'registry of a release, and of the images in the bundle: $(REGISTRY)' \
		'PLATFORMS' 'release, test-release: platforms of the images: $(PLATFORMS)' \
		'PLUGIN_PLATFORMS' 'release, test-release: platforms of the kubectl plugin: $(PLUGIN_PLATFORMS)' \
		'RELEASE_BASE' 'release: base image of operator and scorecard: $(RELEASE_BASE)' \
		'CATALOG_IMG' 'image of the catalog, for catalog-build: $(CATALOG_IMG)' \
		'OPERATORHUB_BUNDLE' 'operatorhub: image of the bundle in the catalog; empty: that of the release' \
		'OPERATORHUB_CATALOGS' 'operatorhub: names of the community catalogs: $(OPERATORHUB_CATALOGS)' \
		'DIST' 'release, build-installer, chart-package: folder of the written files: $(DIST)' \
		'BASE' 'base image of the operator image: $(BASE)' \
		'OVERLAY' 'folder of config/ that deploy applies, default or cert-manager: $(OVERLAY)' \
		'CONTAINER_TOOL' 'docker, podman or nerdctl: $(CONTAINER_TOOL)' \
		'VERSION' 'version of the operator: $(VERSION)' \
		'FUZZTIME' 'test-fuzz: duration or executions of each fuzz test: $(FUZZTIME)' \
		'LOCUST_OPERATOR_CACHE' 'cache of built tools and cluster: $(LOCUST_OPERATOR_CACHE)'

# The recipes rely on .SHELLFLAGS, which the make of macOS (3.81) ignores.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error GNU make 4 or newer is required; on macOS: brew install make, and use gmake)
endif

.PHONY: demo
demo: ## Start a cluster, or use yours (LOCAL=0), run a load test on it, and show it live
ifeq ($(LOCAL),1)
	@$(MAKE) cluster-up local-image
	@$(IN_CLUSTER) $(MAKE) deploy run-demo
else
	@$(MAKE) deploy run-demo
endif

.PHONY: test
test: ## Run all checks that need no root: generated files, lint, unit, fuzz and integration tests
	@$(MAKE) verify
	@$(MAKE) lint
	@rm -rf bin/cover
	@$(MAKE) test-unit
	@$(MAKE) test-fuzz
	@$(MAKE) test-modules
	@$(MAKE) test-integration
	@$(MAKE) coverage
	@echo "==> all checks passed"

##@ Tests

.PHONY: test-unit
test-unit: ## Run the unit tests, with the race detector if there is a C compiler
	@echo "==> unit tests $(RACE)"
	@mkdir -p bin/cover
	@go test $(RACE) -timeout 5m -covermode atomic -coverpkg $(COVERED) -coverprofile bin/cover/unit.out \
		$$(go list ./... | grep -vxE '$(subst $(space),|,$(addprefix .*/,$(SEQUENTIAL)))') | $(STRIP_COVERAGE)
	@go test -covermode atomic -coverpkg $(COVERED) -coverprofile bin/cover/sequential.out \
		$(addprefix ./,$(filter pkg/%,$(SEQUENTIAL))) | $(STRIP_COVERAGE)
	@echo "==> costs of decoding and polling, without the race detector"
	@go test ./test/schema
	@go test -run '^TestPoller_' ./pkg/background

.PHONY: test-fuzz
test-fuzz: ## Fuzz each Fuzz function for FUZZTIME
	@echo "==> fuzz tests, $(FUZZTIME) each"
	@for found in $$(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' api cmd controllers pkg | sed 's/func //' | sort); do \
		package="./$$(dirname "$${found%%:*}")"; name="$${found##*:}"; \
		echo "$$name in $$package"; \
		go test -timeout 15m -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1000x "$$package"; \
	done

.PHONY: test-integration
test-integration: ## Run the integration tests against a real API server, etcd and controller-manager
	@echo "==> integration tests $(RACE)"
	@mkdir -p bin/cover
	@assets="$$($(LOCALCLUSTER) assets)"; KUBEBUILDER_ASSETS="$$assets" KUBE_CACHE_MUTATION_DETECTOR=true \
		go test $(RACE) -tags integration -timeout 15m -parallel 4 -covermode atomic -coverpkg $(COVERED) \
			-coverprofile bin/cover/integration.out ./test/integration/... | $(STRIP_COVERAGE)

.PHONY: test-kubernetes
test-kubernetes: ## Run the integration tests with API servers of older Kubernetes versions
	@for version in $(KUBERNETES_VERSIONS); do \
		echo "==> integration tests with Kubernetes $$version $(RACE)"; \
		assets="$$(test/cluster/older/build.sh "$$version")"; KUBEBUILDER_ASSETS="$$assets" KUBE_CACHE_MUTATION_DETECTOR=true \
			go test $(RACE) -tags integration -count 1 -timeout 15m -parallel 4 ./test/integration/...; \
	done

.PHONY: bench
bench: ## Run the benchmarks; webhook benchmarks print p50 and p99 latencies against a real API server
	@echo "==> benchmarks"
	@go test -run '^$$' -bench . -benchmem ./api/... ./pkg/...
	@assets="$$($(LOCALCLUSTER) assets)"; KUBEBUILDER_ASSETS="$$assets" \
		go test -tags integration -run '^$$' -bench . -timeout 15m ./test/integration/...

.PHONY: bench-scale
bench-scale: ## Check the operator against its budgets with TESTS × WORKERS, and a baseline (embedded cluster; Linux, root)
	@$(call SCALE,bench) --tests $(TESTS) --workers $(WORKERS) --check $(CHECK) $(SCALE_FLAGS)

.PHONY: bench-sizes
bench-sizes: ## Measure the operator's memory at several sizes (embedded cluster)
	@$(call SCALE,sizes) $(SCALE_FLAGS)

.PHONY: bench-shards
bench-shards: ## Measure two operators that divide the namespaces, TESTS × WORKERS each (embedded cluster)
	@$(call SCALE,shards) --tests $(TESTS) --workers $(WORKERS) $(SCALE_FLAGS)

.PHONY: soak
soak: ## Create and delete tests for a long time, and check for leaks (embedded cluster)
	@$(call SCALE,soak) $(SCALE_FLAGS)

.PHONY: test-olm
test-olm: ## Install, check, upgrade and remove a release with OLM, Helm and kubectl on the embedded cluster (Linux, root)
	@mkdir -p bin/olm
	@$(MAKE) cluster-up olm-up
	@$(LOCALCLUSTER) env >bin/cluster.env; eval "$$(cat bin/cluster.env)"; $(MAKE) undeploy-quietly
	@echo "==> versions, bundles and catalogs"
	@test/e2e/olm/prepare.sh bin/olm >bin/olm/settings
	@eval "$$(cat bin/cluster.env)"; eval "$$(cat bin/olm/settings)"; \
		go test -tags olm -count 1 -timeout 60m -v -run '$(OLM_RUN)' ./test/e2e/olm/... 2>&1 | tee bin/olm.log || \
		{ printf '\n==> failures\n'; grep -E -A 12 'Error Trace:|^ *--- FAIL|^panic:' bin/olm.log | tail -n 120; exit 1; }

.PHONY: test-e2e
test-e2e: ## Run the end-to-end tests on a real cluster: embedded, yours (LOCAL=0), or kind (CLUSTER=kind)
ifeq ($(CLUSTER),kind)
	@CONTAINER_TOOL="$(CONTAINER_TOOL)" IMG="$(if $(filter file,$(origin IMG)),localhost/locust-k8s-operator:dev,$(IMG))" test/kind.sh
else ifeq ($(LOCAL),1)
	@mkdir -p bin && test/cluster/machine.sh before "$(CURDIR)/bin/machine"
	@$(MAKE) cluster-up local-image
	@$(IN_CLUSTER) LOCUST_IMAGE_DEBIAN="$$($(LOCALCLUSTER) locust-image --from debian)"; export LOCUST_IMAGE_DEBIAN; \
		$(MAKE) deploy run-e2e
	@test/cluster/machine.sh after "$(CURDIR)/bin/machine"
else
	@$(MAKE) deploy run-e2e
endif

.PHONY: test-modules
test-modules: ## Run the unit tests of the other modules: embedded cluster, developer tools, chart, alerts and dashboard
	@$(foreach module,$(filter-out .,$(MODULES)),echo "==> tests of $(module)"; go -C $(module) test -count 1 $(call PACKAGES,$(module));)

.PHONY: coverage
coverage: ## Print the coverage of the last test run
	@{ echo "mode: atomic"; cat bin/cover/*.out | grep -v -e '^mode:' -e zz_generated -e /gendocs/; } >bin/cover/total.txt
	@go tool cover -func bin/cover/total.txt | awk '/^total:/ { print "==> coverage of api, controllers and pkg: " $$3 }'

##@ Code

.PHONY: generate
generate: ## Generate deepcopy, CRDs, RBAC, the reference docs and the files of the chart
	@echo "==> generate"
	@rm -rf bin/crd
	@$(CONTROLLER_GEN) object crd paths=./api/... output:crd:dir=bin/crd
	@go -C tools run ./crdtrim -api "$(CURDIR)/api" "$(CURDIR)"/bin/crd/*.yaml
	@mkdir -p config/crd/bases docs/reference
	@rm -f config/crd/bases/*.yaml && mv bin/crd/*.yaml config/crd/bases/
	@$(CONTROLLER_GEN) rbac:roleName=manager-role paths=./controllers/... output:rbac:dir=config/rbac
	@mkdir -p bin && go run ./test/scorecard config scorecard >bin/custom.config.yaml && mv bin/custom.config.yaml config/scorecard/patches/
	@$(CONTROLLER_GEN) webhook paths=./pkg/webhook/... output:webhook:dir=config/webhook
	@for version in v1 v2 v1alpha1; do \
		$(CRD_REF_DOCS) --log-level ERROR --source-path api/$$version --config tools/crd-ref-docs.yaml --renderer markdown --output-path docs/reference/$$version.md; \
	done
	@go run ./pkg/status/gendocs >bin/status.md && mv bin/status.md docs/status.md
	@go -C test/cluster run ./cmd/support >bin/support.md && mv bin/support.md docs/support.md
	@tools/chart-files.sh
	@$(MAKE) bundle

.PHONY: manifests
manifests: generate ## Same as generate

.PHONY: bundle
bundle: ## Generate the OLM bundle of version BUNDLE_VERSION
	@echo "==> bundle $(BUNDLE_VERSION)"
	@tools/bundle.sh $(BUNDLE_VERSION) $(IMAGE_BASE):v$(BUNDLE_VERSION) $(IMAGE_BASE)-scorecard:v$(BUNDLE_VERSION) $(SCORECARD_TEST_IMAGE) .

.PHONY: bundle-build
bundle-build: ## Build the bundle image BUNDLE_IMG with CONTAINER_TOOL
	$(CONTAINER_TOOL) build --file bundle.Dockerfile --tag $(BUNDLE_IMG) .

.PHONY: bundle-push
bundle-push: ## Push the bundle image BUNDLE_IMG
	$(CONTAINER_TOOL) push $(BUNDLE_IMG)

.PHONY: catalog
catalog: ## Render the catalog from its template, and validate it; the bundle images must be in their registry
	@echo "==> catalog"
	@opm="$$(tools/build.sh opm)"; mkdir -p $(CATALOG_DIR)/catalog; \
		"$$opm" alpha render-template basic $(CATALOG_FLAGS) --output yaml $(CATALOG_TEMPLATE) >$(CATALOG_DIR)/catalog/catalog.yaml; \
		"$$opm" validate $(CATALOG_DIR)/catalog && echo "$(CATALOG_DIR)/catalog is valid"; \
		rm -f $(CATALOG_DIR)/catalog.Dockerfile; \
		"$$opm" generate dockerfile --base-image $(OPM_IMAGE) --builder-image $(OPM_IMAGE) $(CATALOG_DIR)/catalog

.PHONY: catalog-build
catalog-build: catalog ## Build the image of the catalog with CONTAINER_TOOL, from the Dockerfile that opm generates
	$(CONTAINER_TOOL) build --file $(CATALOG_DIR)/catalog.Dockerfile --tag $(CATALOG_IMG) $(CATALOG_DIR)

.PHONY: catalog-push
catalog-push: ## Push the image of the catalog
	$(CONTAINER_TOOL) push $(CATALOG_IMG)

.PHONY: operatorhub
operatorhub: ## Write DIST/operatorhub, the folders for a pull request to the community catalog, from the release in DIST
	@tools/operatorhub.sh $(VERSION) $(DIST) "$(OPERATORHUB_CATALOGS)" $(OPERATORHUB_BUNDLE)

.PHONY: scorecard-build
scorecard-build: ## Build the image of the scorecard tests with CONTAINER_TOOL
	@mkdir -p bin/scorecard-image
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o bin/scorecard-image/scorecard ./test/scorecard
	$(CONTAINER_TOOL) build --build-arg BASE=$(BASE) --file test/scorecard/Dockerfile --tag $(IMAGE_BASE)-scorecard:v$(BUNDLE_VERSION) bin/scorecard-image

.PHONY: verify
verify: ## Check that generated files are up to date
	@echo "==> verify"
	@tools/verify.sh

.PHONY: fmt
fmt: ## Format the Go code
	@$(GOLANGCI_LINT) fmt

.PHONY: vet
vet: ## Run go vet on all modules, including the tagged suites; lint runs the same analyzers
	@echo "==> vet"
	@$(foreach module,$(MODULES),go -C $(module) vet -tags $(TAGS) $(call PACKAGES,$(module));)

.PHONY: lint
lint: ## Run golangci-lint on all modules; check wording, workflows, the chart, and licenses and known vulnerabilities of dependencies
	@echo "==> lint"
	@lint=$(GOLANGCI_LINT); $(foreach module,$(MODULES),(cd $(module) && "$$lint" run $(call PACKAGES,$(module)));)
	@tools/lint/words.sh
	@"$$(tools/build.sh actionlint)" -shellcheck= -pyflakes= .github/workflows/*.yaml && echo "actionlint: no problem in the workflows"
	@$(MAKE) chart-lint
	@tools/licenses.sh
	@$(MAKE) vulncheck

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the modules that the operator imports
	@tools/vulncheck.sh

.PHONY: chart-lint
chart-lint: ## Run helm lint on the chart, with each file of values in tools/chart/testdata
	@helm=$(HELM); for values in tools/chart/testdata/*.yaml; do \
		"$$helm" lint --quiet --strict --namespace locust-k8s-operator-system --values "$$values" $(CHART) || { echo "helm lint failed with $$values" >&2; exit 1; }; \
	done; echo "helm lint: no problem in the chart"

##@ Operator

.PHONY: build
build: ## Build bin/manager, statically linked
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/manager ./cmd/manager

.PHONY: run
run: ## Run the operator locally, against the cluster of KUBECONFIG
	go run ./cmd/manager

.PHONY: docker-build
docker-build: export GOOS = linux
docker-build: build ## Build the image IMG with CONTAINER_TOOL
	$(CONTAINER_TOOL) build --build-arg BASE=$(BASE) --tag $(IMG) .

.PHONY: docker-push
docker-push: ## Push the image IMG
	$(CONTAINER_TOOL) push $(IMG)

.PHONY: install
install: ## Install the CRD into the cluster of KUBECONFIG
	@$(KUSTOMIZE) build config/crd | $(KUBECTL) apply -f -

.PHONY: uninstall
uninstall: ## Remove the CRD, and with it all LocustTests
	@$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: ## Install the CRD and the operator with the image IMG
	@echo "==> deploy $(IMG)"
	@$(RENDER_DEPLOYMENT) | $(KUBECTL) apply -f -
	@$(KUBECTL) -n $(NAMESPACE) rollout status deployment/$(DEPLOYMENT) --timeout 3m

.PHONY: undeploy
undeploy: ## Remove the operator and the CRD, and with it all LocustTests
	@$(RENDER_DEPLOYMENT) | $(KUBECTL) delete --ignore-not-found -f -

# OLM must install everything itself, so a deployed operator is removed first.
.PHONY: undeploy-quietly
undeploy-quietly:
	@$(RENDER_DEPLOYMENT) | $(KUBECTL) delete --ignore-not-found -f - >/dev/null

.PHONY: build-installer
build-installer: ## Write DIST/install.yaml: CRD and operator with the image IMG in one file
	@mkdir -p $(DIST)
	@$(RENDER_DEPLOYMENT) >$(DIST)/install.yaml
	@echo "==> wrote $(DIST)/install.yaml with image $(IMG)"

.PHONY: clean
clean: ## Remove bin/
	rm -rf bin

##@ Release

.PHONY: release
release: ## Build and push all images of VERSION to REGISTRY, and write the files of the release to DIST
	@VERSION="$(VERSION)" REGISTRY="$(REGISTRY)" IMAGE_BASE="$(IMAGE_BASE)" DIST="$(DIST)" PLATFORMS="$(PLATFORMS)" ALL_PLATFORMS="$(ALL_PLATFORMS)" \
		PLUGIN_PLATFORMS="$(PLUGIN_PLATFORMS)" DOWNLOADS="$(DOWNLOADS)" \
		BASE="$(RELEASE_BASE)" SCORECARD_TEST_IMAGE="$(SCORECARD_TEST_IMAGE)" tools/release.sh

.PHONY: chart-package
chart-package: ## Write the chart of VERSION, with the operator image IMG, to DIST
	@mkdir -p $(DIST)
	@dist="$$(cd $(DIST) && pwd)"; echo "==> wrote $$(go -C tools/chart run . -chart ../../$(CHART) -version "$(VERSION)" -image "$(IMG)" -dist "$$dist")"

.PHONY: test-release
test-release: ## Make a release of BUNDLE_VERSION with a temporary registry, and check all of it
	@echo "==> release of $(BUNDLE_VERSION)"
	@RELEASE_PLATFORMS="$(PLATFORMS)" RELEASE_PLUGIN_PLATFORMS="$(PLUGIN_PLATFORMS)" go -C tools/release test -tags release -count 1 -timeout 60m -run TestRelease .

##@ Embedded cluster (Linux, root)

.PHONY: cluster-up
cluster-up: ## Start a real single-node Kubernetes on this machine, unless a healthy one runs
	@echo "==> cluster-up"
	@$(LOCALCLUSTER) up

.PHONY: olm-up
olm-up: ## Build the Operator Lifecycle Manager from source and install it
	@echo "==> olm-up"
	@test/cluster/olm/up.sh

.PHONY: cluster-down
cluster-down: ## Stop the cluster and remove everything except the cache
	@echo "==> cluster-down"
	@$(LOCALCLUSTER) down

.PHONY: cluster-status
cluster-status: ## Show which components of the cluster run
	@$(LOCALCLUSTER) status

.PHONY: cluster-env
cluster-env: ## Print the environment variables of the cluster: eval "$(make cluster-env)"
	@$(LOCALCLUSTER) env

# Internal targets, used by those above.

# The operator runs as deployed; kwok simulates the nodes, so no Locust image is needed.
SCALE = kwok="$$(tools/build.sh kwok)"; $(MAKE) cluster-up scale-ready; $(IN_CLUSTER_BARE) \
	bin/scale/scale $(1) --kwok "$$kwok" --baseline bin/scale/baseline

.PHONY: scale-ready
scale-ready: local-image
	@mkdir -p bin/scale
	@go build -o bin/scale/ ./test/scale ./test/scale/baseline
	@$(IN_CLUSTER_BARE) $(MAKE) deploy

.PHONY: print-registry
print-registry:
	@echo "$(REGISTRY)"

NAMESPACE = locust-k8s-operator-system
DEPLOYMENT = locust-k8s-operator-controller-manager

# Sets the image in a copy, so the clone does not change.
RENDER_DEPLOYMENT = copy="$$(mktemp -d)"; trap 'rm -rf "$$copy"' EXIT; cp -R config "$$copy"; kustomize=$(KUSTOMIZE); \
	(cd "$$copy/config/manager" && "$$kustomize" edit set image controller=$(IMG)); \
	"$$kustomize" build "$$copy/config/$(OVERLAY)"

# The tag is a hash of the binary, so only a changed operator is rolled out.
.PHONY: local-image
local-image: build
	@echo "==> operator image"
	@tag="localhost:5000/locust-k8s-operator:dev-$$(sha256sum bin/manager | cut -c1-12)"; \
		$(LOCALCLUSTER) image build --context "$(CURDIR)" --file "$(CURDIR)/Dockerfile" --build-arg BASE=scratch --tag "$$tag"; \
		echo "$$tag" >bin/local-image

.PHONY: run-demo
run-demo:
	@echo "==> demo"
	@go build -o bin/kubectl-locust ./cmd/kubectl-locust
	@$(KUSTOMIZE) build config/samples/demo | bin/kubectl-locust run --filename - --replace --timeout 5m \
		$(if $(LOCUST_IMAGE),--image "$(LOCUST_IMAGE)")
	@printf '\nBefore these commands\n'; printf '  %s\n' $(if $(filter 1,$(LOCAL)),'eval "$$(make cluster-env)"') 'export PATH="$$PWD/bin:$$PATH"'

.PHONY: run-e2e
run-e2e:
	@echo "==> end-to-end tests"
	@mkdir -p bin; export IMG="$(IMG)" LOCUST_IMAGE="$(LOCUST_IMAGE)" LOCAL="$(LOCAL)"; \
		go test -tags e2e -count 1 -parallel 5 -timeout 60m -v ./test/e2e/... 2>&1 | tee bin/e2e.log || \
		{ printf '\n==> failures\n'; grep -E -A 12 'Error Trace:|^(    )*--- FAIL|^panic:' bin/e2e.log | tail -n 120; exit 1; }
