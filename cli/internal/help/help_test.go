package help

import "testing"

func TestTextIsBrokenAt80Columns(t *testing.T) {
	const words = "one two three four five six seven eight nine ten eleven twelve"
	for text, want := range map[string]string{
		"short\nlines\nstay\n": "short\nlines\nstay\n",
		words + " " + words + "\nend\n\n" + "next\n": words + " one two three\n" +
			"four five six seven eight nine ten eleven twelve end\n\nnext\n",
		"  word     " + words + " " + words + "\n": "  word     " + words + " one\n" +
			"           two three four five six seven eight nine ten eleven twelve\n",
		"\tchef-sync-ctl completion bash > $(brew --prefix)/etc/bash_completion.d/chef-sync-ctl\n": "    chef-sync-ctl completion bash > $(brew \\\n" +
			"        --prefix)/etc/bash_completion.d/chef-sync-ctl\n",
	} {
		if got := reflow(text); got != want {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	}
}

func TestCommandsAreBrokenBeforeAFlag(t *testing.T) {
	got := continued("  chef-sync-ctl prepare-org engineering --side primary --admin-user pivotal --admin-key pivotal.pem")
	want := "  chef-sync-ctl prepare-org engineering --side primary --admin-user pivotal \\\n      --admin-key pivotal.pem\n"
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
