module github.com/AbdelrhmanHamouda/locust-k8s-operator/tools/recipes

go 1.26.3

replace github.com/AbdelrhmanHamouda/locust-k8s-operator => ../..

require (
	github.com/AbdelrhmanHamouda/locust-k8s-operator v0.0.0
	github.com/stretchr/testify v1.12.1
	sigs.k8s.io/yaml v1.6.0
)

require github.com/yuin/gopher-lua v1.1.1 // indirect
