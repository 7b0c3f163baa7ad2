package policy

import "reflect"

// clone returns a copy of v that shares no slice, map or pointer in an exported field.
// Unexported fields are shared; nothing changes them.
func clone[T any](v T) T {
	cloneFields(reflect.ValueOf(&v).Elem())
	return v
}

func cloneFields(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				cloneFields(v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			cloneFields(c.Elem())
			v.Set(c)
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			for i := range c.Len() {
				cloneFields(c.Index(i))
			}
			v.Set(c)
		}
	case reflect.Map: // The values of all maps are strings or numbers.
		if !v.IsNil() {
			c := reflect.MakeMapWithSize(v.Type(), v.Len())
			for iter := v.MapRange(); iter.Next(); {
				c.SetMapIndex(iter.Key(), iter.Value())
			}
			v.Set(c)
		}
	}
}
