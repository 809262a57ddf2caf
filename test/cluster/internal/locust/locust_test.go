package locust

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	content "github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/images/locust"
)

func TestRequirementsArePinnedAndNameNoHost(t *testing.T) {
	pin := regexp.MustCompile(`^[a-z0-9-]+==[0-9][^ ]* \\$`)
	hash := regexp.MustCompile(`^    --hash=sha256:[0-9a-f]{64}( \\)?$`)
	for line := range strings.Lines(content.Requirements) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "#") && !pin.MatchString(line) && !hash.MatchString(line) {
			t.Errorf("unexpected line %q", line)
		}
	}
	if v := Version(); !strings.HasPrefix(v, "2.") {
		t.Errorf("version %q", v)
	}
}

func TestRefs(t *testing.T) {
	if Ref(Debian) == Ref(PyPI) || recipeKey(Debian) == recipeKey(PyPI) {
		t.Error("two sources, one image")
	}
}

func TestPlatforms(t *testing.T) {
	tags, err := interpreter{"3.11", "x86_64", "2.36"}.platforms()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"manylinux_2_36_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64"} {
		if !slices.Contains(tags, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if slices.Contains(tags, "manylinux_2_37_x86_64") {
		t.Error("too new for this C library")
	}
	if _, err := (interpreter{"3.11", "x86_64", "musl"}).platforms(); err == nil {
		t.Error("an unknown C library must be refused")
	}
}

func TestPickMirror(t *testing.T) {
	const targets = "DEP-11 main bookworm bookworm a\nPackages contrib bookworm bookworm b\nPackages main bookworm-updates bookworm-updates c\nPackages main bookworm stable d\n"
	if got := pickMirror(targets, "bookworm"); got != "d" {
		t.Errorf("got %q", got)
	}
	if got := pickMirror(targets, "trixie"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestParseSource(t *testing.T) {
	if s, err := ParseSource("debian"); err != nil || s != Debian {
		t.Error(s, err)
	}
	if _, err := ParseSource("hub"); err == nil {
		t.Error("must be refused")
	}
}
