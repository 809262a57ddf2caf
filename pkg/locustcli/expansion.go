package locustcli

import "strings"

// Expansion replaces $(NAME) by the variable of that name, and $$ by $, as the kubelet does (Kubernetes API reference,
// Container.args and EnvVar.value). Unknown names stay as they are.
//
// Variables that refer to others more than once grow exponentially. So the size of each text is computed, and bounded,
// before it is expanded.
type Expansion struct {
	variables map[string]string
	// size is the total size of all texts so far, expanded, in bytes.
	size int
	// Refused is the first text that exceeded a limit; nil if none did.
	Refused *string
}

const (
	// MaxWord bounds an argument or variable in bytes, as Linux does (MAX_ARG_STRLEN): a container with a longer one fails.
	MaxWord = 128 << 10
	// MaxExpansion bounds all arguments and variables together in bytes, as Linux does: a quarter of the stack, which is
	// 8 MiB by default (execve(2), "Limits on size of arguments and environment").
	MaxExpansion = 2 << 20
)

// Variable is an environment variable of a container.
type Variable struct{ Name, Value string }

// NewExpansion expands the variables, in the same order as the kubelet. Variables that exceed a limit stay as they are.
func NewExpansion(variables []Variable) *Expansion {
	x := &Expansion{variables: map[string]string{}}
	for _, v := range variables {
		value := v.Value
		if x.Admit(value) {
			value = x.expand(value)
		}
		x.variables[v.Name] = value
	}
	return x
}

// Admit adds the expanded sizes of texts to the size of the expansion. It reports whether all texts so far are within
// the limits: each within MaxWord, and all together within MaxExpansion.
func (x *Expansion) Admit(texts ...string) bool {
	for _, text := range texts {
		if x.Refused != nil {
			return false
		}
		size := 0
		x.eachPart(text, func(part string) { size += len(part) })
		x.size += size
		if size > MaxWord || x.size > MaxExpansion {
			x.Refused = &text
		}
	}
	return x.Refused == nil
}

func (x *Expansion) expand(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var expanded strings.Builder
	x.eachPart(text, func(part string) { expanded.WriteString(part) })
	return expanded.String()
}

// eachPart calls add for each part of the expanded text, in order.
func (x *Expansion) eachPart(text string, add func(part string)) {
	closable := true // whether another ")" may follow
	for {
		before, after, found := strings.Cut(text, "$")
		add(before)
		if !found {
			return
		}
		expression := "$"
		switch {
		case strings.HasPrefix(after, "$"):
			after = after[1:]
		case closable && strings.HasPrefix(after, "("):
			name, rest, closed := strings.Cut(after[1:], ")")
			closable = closed
			if closed {
				value, ok := x.variables[name]
				if !ok {
					value = "$(" + name + ")"
				}
				expression, after = value, rest
			}
		}
		add(expression)
		text = after
	}
}

// Escape keeps the kubelet from changing arguments: the kubelet replaces $(NAME) by variables, and $$ by
// $, in the arguments of every container (Kubernetes API reference, Container.args).
func Escape(args []string) []string {
	escaped := make([]string, len(args))
	for i, arg := range args {
		escaped[i] = strings.ReplaceAll(arg, "$", "$$")
	}
	return escaped
}
