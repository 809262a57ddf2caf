package host

import (
	"context"
	"slices"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// ownTables are the netfilter tables that only the cluster creates.
var ownTables = []string{"inet " + guardTable, "ip kube-proxy", "ip6 kube-proxy"}

// chainPrefixes are the prefixes of the iptables chains of kube-proxy, the kubelet
// and the network plugins.
var chainPrefixes = []string{"KUBE-", "CNI-"}

// restoreFirewall removes the cluster's rules and keeps all others with their
// counters.
func (r Record) restoreFirewall(ctx context.Context) []string {
	var problems []string
	for _, table := range ownTables {
		if slices.Contains(nftTables(ctx), table) {
			if _, err := run.Output(ctx, append([]string{"nft", "delete", "table"}, strings.Fields(table)...)...); err != nil {
				problems = append(problems, err.Error())
			}
		}
	}
	for _, program := range []string{"iptables", "ip6tables"} {
		if err := removeChains(ctx, program); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return append(problems, r.removeEmptyTables(ctx)...)
}

func removeChains(ctx context.Context, program string) error {
	if !run.Has(program + "-save") {
		return nil
	}
	rules, err := run.Output(ctx, program+"-save")
	if err != nil {
		return nil //nolint:nilerr // a kernel without this protocol has no rules either
	}
	edit := removal(rules)
	if edit == "" {
		return nil
	}
	_, err = run.Cmd{Args: []string{program + "-restore", "--noflush", "--wait"}, Stdin: edit}.Run(ctx)
	return err
}

// removal converts the output of iptables-save to input for iptables-restore
// --noflush that removes the cluster's chains and all rules that jump to them.
func removal(rules string) string {
	var out, deletions, flushes, drops []string
	end := func() {
		if len(out) > 0 && len(deletions)+len(flushes) > 0 {
			out = append(out, deletions...)
			out = append(out, flushes...)
			out = append(out, drops...)
			out = append(out, "COMMIT")
		} else if len(out) > 0 {
			out = out[:len(out)-1] // a table without rules of the cluster
		}
		deletions, flushes, drops = nil, nil, nil
	}
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			out = append(out, line)
		case strings.HasPrefix(line, ":"):
			if chain := strings.Fields(line[1:])[0]; ownChain(chain) {
				flushes = append(flushes, "-F "+chain)
				drops = append(drops, "-X "+chain)
			}
		case strings.HasPrefix(line, "-A "):
			fields := strings.Fields(line)
			if !ownChain(fields[1]) && ownRule(line, fields) {
				deletions = append(deletions, "-D "+strings.TrimPrefix(line, "-A "))
			}
		case line == "COMMIT":
			end()
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
}

func ownRule(line string, fields []string) bool {
	if line == "-A "+strings.Join(forwardRule, " ") {
		return true
	}
	for i, field := range fields[:len(fields)-1] {
		if (field == "-j" || field == "-g") && ownChain(fields[i+1]) {
			return true
		}
	}
	return false
}

func ownChain(name string) bool {
	return slices.ContainsFunc(chainPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// removeEmptyTables removes the tables that iptables created for the cluster's
// rules, unless they have rules of other programs.
func (r Record) removeEmptyTables(ctx context.Context) []string {
	var problems []string
	for _, table := range nftTables(ctx) {
		fields := strings.Fields(table)
		if slices.Contains(r.Tables, table) || len(fields) != 2 || !slices.Contains([]string{"ip", "ip6"}, fields[0]) ||
			!slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, fields[1]) {
			continue
		}
		content, err := run.Output(ctx, "nft", "list", "table", fields[0], fields[1])
		if err != nil || !EmptyTable(content) {
			continue
		}
		if _, err := run.Output(ctx, "nft", "delete", "table", fields[0], fields[1]); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}

// EmptyTable reports whether a table in the output of nft has no effect: it has only
// base chains with policy accept, and no rules.
func EmptyTable(content string) bool {
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "}" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "table ") || strings.HasPrefix(line, "chain "):
		case strings.HasPrefix(line, "type ") && strings.HasSuffix(line, "policy accept;"):
		default:
			return false
		}
	}
	return true
}
