package main

import (
	"context"
	"os/exec"
	"runtime"
)

// openBrowser opens a URL in the browser of the user.
func openBrowser(ctx context.Context, url string) error {
	command, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		command = "open"
	case "windows":
		command, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	// The browser may outlive this command.
	browser := exec.CommandContext(context.WithoutCancel(ctx), command, args...)
	if err := browser.Start(); err != nil {
		return err
	}
	go func() { _ = browser.Wait() }()
	return nil
}
