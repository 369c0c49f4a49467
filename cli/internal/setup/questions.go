package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
)

// Questions ask for what a first configuration says. Each answer is checked as the
// configuration that it makes, and asked for again if that would not be valid.
type Questions struct {
	In     io.Reader
	Out    io.Writer
	Loader config.Loader
	Path   string // of the file to be

	lines chan string
	file  File
}

// Ask asks all questions. The defaults are those of a profile of Chef's own credentials
// file, if there is one.
func (q *Questions) Ask(ctx context.Context) (*File, error) {
	q.lines = make(chan string)
	go func() {
		defer close(q.lines)
		for s := bufio.NewScanner(q.In); s.Scan(); {
			select {
			case q.lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	chef, err := q.Loader.Credentials(q.Loader.ChefProfile)
	if err != nil {
		chef = config.Credentials{} // most users have none
	}
	fmt.Fprintf(q.Out, "A first configuration, %s. Enter takes the answer in brackets.\n", ui.Safe(q.Path))
	for _, ask := range []func(context.Context, config.Credentials) error{q.askPrimary, q.askUser, q.askOrganizations, q.askReplicas} {
		if err := ask(ctx, chef); err != nil {
			return nil, err
		}
	}
	return &q.file, nil
}

func (q *Questions) askPrimary(ctx context.Context, chef config.Credentials) error {
	return q.ask(ctx, "URL of the primary, which is read", chef.URL, func(f *File, answer string) error {
		server, org, err := config.NormalizeURL(answer)
		f.Primary = Server{Name: "primary", URL: server}
		if org != "" {
			f.Organizations = []Organization{{Source: org}}
		}
		return err
	})
}

func (q *Questions) askUser(ctx context.Context, chef config.Credentials) error {
	question := "User or client that signs requests; prepare-org creates a new one"
	if chef.User != "" && chef.URL == q.file.Primary.URL {
		question += ", or " + chef.User + " of " + chef.File
	}
	err := q.ask(ctx, question, DefaultUser, func(f *File, answer string) error {
		f.Primary.User = answer
		return nil
	})
	if err != nil {
		return err
	}
	key := "keys/primary.pem"
	if q.file.Primary.User == chef.User && chef.Key.Scheme == "file" {
		key = chef.Key.Name
	}
	return q.ask(ctx, "File of its private key on the primary", key, func(f *File, answer string) error {
		f.Primary.Key = "file:" + strings.TrimPrefix(answer, "file:")
		return nil
	})
}

func (q *Questions) askOrganizations(ctx context.Context, chef config.Credentials) error {
	preset := ""
	switch {
	case len(q.file.Organizations) > 0: // the URL of the primary ended with it
		preset = q.file.Organizations[0].Source
	case chef.URL == q.file.Primary.URL:
		preset = chef.Org
	}
	return q.ask(ctx, "Organizations to replicate, with commas between them", preset, func(f *File, answer string) error {
		f.Organizations = nil
		for name := range strings.FieldsFuncSeq(answer, func(r rune) bool { return r == ',' || r == ' ' }) {
			f.Organizations = append(f.Organizations, Organization{Source: name})
		}
		return nil
	})
}

// askReplicas asks for replicas until no name is given. The first one needs one.
func (q *Questions) askReplicas(ctx context.Context, _ config.Credentials) error {
	for {
		question, preset := "Short name of a replica, which is written", "eu"
		if len(q.file.Replicas) > 0 {
			question, preset = "Name of another replica, or Enter if that is all", noAnswer
		}
		name := ""
		err := q.ask(ctx, question, preset, func(f *File, answer string) error {
			if name = answer; name != "" {
				f.Replicas = append(f.Replicas, Server{Name: name, URL: "https://" + placeholderHost, User: f.Primary.User})
			}
			return nil
		})
		if err != nil || name == "" {
			return err
		}
		last := len(q.file.Replicas) - 1
		if err := q.ask(ctx, "URL of "+name, "", func(f *File, answer string) error {
			server, org, err := config.NormalizeURL(answer)
			if org != "" {
				err = fmt.Errorf("write %s: organizations have the same names on a replica", server)
			}
			f.Replicas[last].URL = server
			return err
		}); err != nil {
			return err
		}
	}
}

// noAnswer is the preset of a question that may be left without an answer.
const noAnswer = "-"

// placeholderHost stands for what wasn't asked for yet while an answer is checked.
const placeholderHost = "not-asked-yet.invalid"

// ask asks a question until set takes the answer and the configuration with it is valid.
func (q *Questions) ask(ctx context.Context, question, preset string, set func(f *File, answer string) error) error {
	for {
		switch preset {
		case "", noAnswer:
			fmt.Fprintf(q.Out, "%s: ", ui.Safe(question))
		default:
			fmt.Fprintf(q.Out, "%s [%s]: ", ui.Safe(question), ui.Safe(preset))
		}
		answer, err := q.readLine(ctx)
		if err != nil {
			return err
		}
		if answer == "" && preset != noAnswer {
			answer = preset
		}
		if answer == "" && preset == "" {
			continue
		}
		next := q.file
		next.Replicas, next.Organizations = slices.Clone(next.Replicas), slices.Clone(next.Organizations)
		if err = set(&next, answer); err == nil {
			err = q.check(next)
		}
		if err == nil {
			q.file = next
			return nil
		}
		fmt.Fprintf(q.Out, "  %s\n", ui.Safe(err.Error()))
	}
}

func (q *Questions) readLine(ctx context.Context) (string, error) {
	select {
	case line, ok := <-q.lines:
		if !ok {
			fmt.Fprintln(q.Out)
			return "", errors.New("the answers ended too early; nothing was written")
		}
		return strings.TrimSpace(line), nil
	case <-ctx.Done():
		fmt.Fprintln(q.Out)
		return "", fmt.Errorf("nothing was written: %w", ctx.Err())
	}
}

// check returns the first problem of a configuration of which only the beginning is known.
func (q *Questions) check(f File) error {
	if len(f.Replicas) == 0 {
		f.Replicas = []Server{{Name: "not-asked-yet", URL: "https://" + placeholderHost}}
	}
	if len(f.Organizations) == 0 {
		f.Organizations = []Organization{{Source: "not-asked-yet"}}
	}
	_, err := q.Loader.Parse(q.Path, []byte(f.TOML()))
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	if p := problems[0]; p.Try != "" {
		return fmt.Errorf("%s; %s", p.Message, p.Try)
	}
	return errors.New(problems[0].Message)
}
