# The catalog of a release: only the file-based catalog. OLM v0 serves it with its own opm, for which the CatalogSource sets
# spec.grpcPodConfig.extractContent.catalogDir to /configs; OLM v1 needs no setting. There is no prebuilt cache, because it is valid for
# one version of opm only.
FROM scratch

COPY catalog /configs

LABEL operators.operatorframework.io.index.configs.v1=/configs
