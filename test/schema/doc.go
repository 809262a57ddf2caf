// Package schema walks the schema of the LocustTest CRD: it generates objects that use any of its fields, and checks
// them as the API server does, with the API server's own code. Its test shows that whatever passes can be decoded,
// compared and converted at a bounded cost.
package schema
