package buildrules

import "encoding/json"

// Rules of a kind are written as documents have them: deny, or a mapping.

func written(denied bool, fields any) any {
	if denied {
		return string(ActionDeny)
	}
	return fields
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *ImageRules) MarshalYAML() (any, error) {
	type fields ImageRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *ImageRules) MarshalJSON() ([]byte, error) {
	type fields ImageRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *GitRules) MarshalYAML() (any, error) {
	type fields GitRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *GitRules) MarshalJSON() ([]byte, error) {
	type fields GitRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *HTTPRules) MarshalYAML() (any, error) {
	type fields HTTPRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *HTTPRules) MarshalJSON() ([]byte, error) {
	type fields HTTPRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *NameRules) MarshalYAML() (any, error) {
	type fields NameRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *NameRules) MarshalJSON() ([]byte, error) {
	type fields NameRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *PatternRules) MarshalYAML() (any, error) {
	type fields PatternRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *PatternRules) MarshalJSON() ([]byte, error) {
	type fields PatternRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *DownloadRules) MarshalYAML() (any, error) {
	type fields DownloadRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *DownloadRules) MarshalJSON() ([]byte, error) {
	type fields DownloadRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}

// MarshalYAML returns deny if that is how the rules are written, else the fields.
func (r *ExecRules) MarshalYAML() (any, error) {
	type fields ExecRules
	return written(r.Denied, (*fields)(r)), nil
}

// MarshalJSON returns deny if that is how the rules are written, else the fields.
func (r *ExecRules) MarshalJSON() ([]byte, error) {
	type fields ExecRules
	return json.Marshal(written(r.Denied, (*fields)(r)))
}
