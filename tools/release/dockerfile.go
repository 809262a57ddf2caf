package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const scratch = "scratch"

// recipe is what a Dockerfile defines, if nothing has to run in the image.
type recipe struct {
	base   string
	copies []copied
	config v1.Config
}

// copied is a file or folder of the context, and its path in the image.
type copied struct{ source, target string }

// parseDockerfile reads a Dockerfile of one stage. It returns an error for every instruction that it cannot carry out.
func parseDockerfile(r io.Reader, buildArgs map[string]string) (recipe, error) {
	tree, err := parser.Parse(r)
	if err != nil {
		return recipe{}, fmt.Errorf("parse: %w", err)
	}
	stages, arguments, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return recipe{}, fmt.Errorf("parse: %w", err)
	}
	if len(stages) != 1 {
		return recipe{}, fmt.Errorf("it has %d stages, not one", len(stages))
	}
	values := map[string]string{}
	for _, argument := range arguments {
		for _, arg := range argument.Args {
			values[arg.Key] = arg.ValueString()
			if value, set := buildArgs[arg.Key]; set {
				values[arg.Key] = value
			}
		}
	}
	for name := range buildArgs {
		if _, declared := values[name]; !declared {
			return recipe{}, fmt.Errorf("it has no ARG %s before FROM", name)
		}
	}
	result := recipe{base: os.Expand(stages[0].BaseName, func(name string) string { return values[name] })}
	result.config.Labels = map[string]string{}
	for _, command := range stages[0].Commands {
		if err := result.add(command); err != nil {
			return recipe{}, err
		}
	}
	return result, nil
}

var errEmulation = errors.New("is not supported: it may need to run programs of another platform, or another stage")

func (r *recipe) add(command instructions.Command) error {
	switch c := command.(type) {
	case *instructions.CopyCommand:
		if c.From != "" || c.Chown != "" || c.Chmod != "" || len(c.ExcludePatterns) > 0 || len(c.SourceContents) > 0 {
			return fmt.Errorf("%s: %w", c, errEmulation)
		}
		r.copy(c.SourcesAndDest)
	case *instructions.AddCommand:
		if c.Chown != "" || c.Chmod != "" || len(c.ExcludePatterns) > 0 || len(c.SourceContents) > 0 {
			return fmt.Errorf("%s: %w", c, errEmulation)
		}
		r.copy(c.SourcesAndDest)
	case *instructions.LabelCommand:
		for _, label := range c.Labels {
			r.config.Labels[unquote(label.Key)] = unquote(label.Value)
		}
	case *instructions.UserCommand:
		r.config.User = c.User
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return fmt.Errorf("%s: there may be no shell; write a list", c)
		}
		r.config.Entrypoint = c.CmdLine
	case *instructions.CmdCommand:
		if c.PrependShell {
			return fmt.Errorf("%s: there may be no shell; write a list", c)
		}
		r.config.Cmd = c.CmdLine
	default:
		return fmt.Errorf("%s %w", command.Name(), errEmulation)
	}
	return nil
}

func (r *recipe) copy(paths instructions.SourcesAndDest) {
	for _, source := range paths.SourcePaths {
		r.copies = append(r.copies, copied{source, paths.DestPath})
	}
}

// unquote removes the quotes that the parser leaves around a value, as a word of a shell.
func unquote(word string) string {
	if len(word) > 1 && (word[0] == '"' || word[0] == '\'') && word[len(word)-1] == word[0] {
		return word[1 : len(word)-1]
	}
	return word
}
