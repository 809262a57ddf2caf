// Package locust holds the pinned contents of the Locust test image.
package locust

import _ "embed"

// Requirements is the requirements file for pip, with hashes.
//
//go:embed requirements.txt
var Requirements string
