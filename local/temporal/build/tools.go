//go:build tools

// Package tools names the program that local/temporal builds, so that go.mod and go.sum pin it and everything it needs.
package tools

import _ "github.com/temporalio/cli/cmd/temporal"
