package filter

import (
	"testing"

	"windlass/windlasstest"
)

func configured(t *testing.T) *windlasstest.Filter {
	return windlasstest.Configure(t, new(Filter), `{ "allow": ["blue"] }`, windlasstest.Gateway{})
}

func TestAListedTeamPassesAndItsBodyIsCounted(t *testing.T) {
	result := configured(t).Send(windlasstest.Request{
		Method:  "POST",
		Headers: map[string]string{"x-team": "blue"},
		Body:    []string{"hel", "lo"},
	})
	if result.RequestHeaders["x-checked-by"] != "{{name}}" || result.Headers["x-request-bytes"] != "5" {
		t.Errorf("%+v", result)
	}
}

func TestOtherTeamsAreRefused(t *testing.T) {
	filter := configured(t)
	if result := filter.Send(windlasstest.Request{}); result.Reason != "team_missing" {
		t.Errorf("%+v", result)
	}
	red := windlasstest.Request{Headers: map[string]string{"x-team": "red"}}
	if result := filter.Send(red); result.Reason != "team_unknown" || len(result.Log) != 1 {
		t.Errorf("%+v", result)
	}
}

func TestAnEmptyListIsAnErrorAtItsPlace(t *testing.T) {
	_, problems := windlasstest.TryConfigure(new(Filter), `{ "allow": [] }`, windlasstest.Gateway{})
	if len(problems) != 1 || problems[0].At != "/allow" {
		t.Error(problems)
	}
}
