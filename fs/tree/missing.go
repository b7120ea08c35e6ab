package tree

import "errors"

// A missing collects what several loads miss. Another error goes first.
type missing struct {
	refs  []Ref
	other error
}

// add notes err and tells whether there was none.
func (m *missing) add(err error) bool {
	if err != nil && !m.take(err) && m.other == nil {
		m.other = err
	}
	return err == nil
}

// take notes what err misses and tells whether that is all it says.
func (m *missing) take(err error) bool {
	var e *Missing
	if !errors.As(err, &e) {
		return false
	}
	m.refs = append(m.refs, e.Refs...)
	return true
}

func (m *missing) err() error {
	switch {
	case m.other != nil:
		return m.other
	case len(m.refs) > 0:
		seen := make(map[Ref]bool)
		out := &Missing{}
		for _, r := range m.refs {
			if !seen[r] {
				seen[r] = true
				out.Refs = append(out.Refs, r)
			}
		}
		return out
	}
	return nil
}

func isMissing(err error) bool {
	var m *Missing
	return errors.As(err, &m)
}
