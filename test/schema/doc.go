// Package schema generates random objects from the schema of the LocustTest CRD, and validates them with the API server's
// own code. Its test verifies that every admitted object is decoded, compared and converted at a bounded cost.
package schema
