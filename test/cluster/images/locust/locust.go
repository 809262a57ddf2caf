// Package locust holds the pinned contents of the Locust test image.
package locust

import _ "embed"

// Requirements is the requirements file that pip installs, with hashes.
//
//go:embed requirements.txt
var Requirements string
