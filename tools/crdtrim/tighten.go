package main

import "strings"

// The API server validates custom resources against patterns and formats, but the Go types that decode them later are
// stricter. An object that only the schema admits would be stored, and then fail every reader.
const (
	// quantityPattern is a copy of QuantityPattern in api/v2, which explains it. A test there compares them.
	quantityPattern   = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,2}))?$`
	maxQuantityLength = 32

	// maxResources bounds a list of limits or requests, as api/v2 does.
	maxResources = 64

	// timePattern admits the date-times that metav1.Time decodes (RFC 3339) and encodes (UTC). The format date-time also
	// admits lower case and any separator before the fraction.
	timePattern   = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z$`
	maxTimeLength = 30

	// durationPattern admits Go durations that cannot overflow.
	durationPattern   = `^(([0-9]{1,6}|1[0-9]{6}|2[0-4][0-9]{5})([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$`
	minDurationLength = 2
	maxDurationLength = 64
)

// tighten narrows the patterns of quantities and times in a schema and in all schemas inside it.
func tighten(schema object) {
	pattern, _ := schema["pattern"].(string)
	intOrString, _ := schema["x-kubernetes-int-or-string"].(bool)
	switch {
	case intOrString && strings.Contains(pattern, "[numkMGTPE]"):
		schema["pattern"], schema["maxLength"] = quantityPattern, maxQuantityLength
	case isResourceList(schema):
		schema["maxProperties"] = maxResources
	case schema["format"] == "date-time":
		schema["pattern"], schema["maxLength"] = timePattern, maxTimeLength
	}
	for _, child := range children(schema) {
		tighten(child)
	}
}

// isResourceList reports whether a schema is that of limits or requests.
func isResourceList(schema object) bool {
	values, _ := schema["additionalProperties"].(object)
	isQuantity, _ := values["x-kubernetes-int-or-string"].(bool)
	return isQuantity
}

// tightenDuration adds a pattern to a duration that has no validation rule. In the schema a duration is a plain string,
// so the caller identifies it by its Go type.
func tightenDuration(schema object) {
	if schema["x-kubernetes-validations"] == nil {
		schema["pattern"], schema["minLength"], schema["maxLength"] = durationPattern, minDurationLength, maxDurationLength
	}
}
