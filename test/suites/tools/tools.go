//go:build tools

// Package suites names other people's test programs, so that go.mod and go.sum pin them.
package suites

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
