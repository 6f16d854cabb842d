// What GitOps tools say of an object, each by its own code: kstatus (Flux, Helm), a health.lua as Argo CD runs it, and Flux's
// healthCheckExprs. Reads one JSON request from standard input, writes one JSON answer.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
)

// longest is what Argo CD gives a script.
const longest = time.Second

type request struct {
	Lua     string                                      `json:"lua"`
	Exprs   map[string]kustomize.HealthCheckExpressions `json:"exprs"`
	Objects map[string]json.RawMessage                  `json:"objects"`
}

// verdict is one tool's word for one object. Error: the tool itself fell over.
type verdict struct {
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
}

func main() {
	if err := answer(); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func answer() error {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return fmt.Errorf("the request is not JSON: %w", err)
	}
	evaluators := map[string]*cel.StatusEvaluator{}
	for name, exprs := range asked.Exprs {
		made, err := cel.NewStatusEvaluator(&exprs)
		if err != nil {
			return fmt.Errorf("expressions %q: %w", name, err)
		}
		evaluators[name] = made
	}
	said := map[string]map[string]verdict{}
	for name, raw := range asked.Objects {
		object := &unstructured.Unstructured{}
		// Whole numbers must be int64, as a client has them: plain JSON would make floats of them.
		if err := k8sjson.Unmarshal(bytes.TrimSpace(raw), &object.Object); err != nil {
			return fmt.Errorf("object %q: %w", name, err)
		}
		said[name] = map[string]verdict{"kstatus": ofKstatus(object), "argo": ofArgo(object, asked.Lua)}
		for of, evaluator := range evaluators {
			said[name][of] = ofFlux(object, evaluator)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

func ofKstatus(object *unstructured.Unstructured) verdict {
	return told(status.Compute(object))
}

func ofFlux(object *unstructured.Unstructured, evaluator *cel.StatusEvaluator) verdict {
	return told(evaluator.Evaluate(context.Background(), object))
}

func told(result *status.Result, err error) verdict {
	if err != nil {
		return verdict{Error: err.Error()}
	}
	return verdict{Status: result.Status.String(), Message: result.Message}
}

// ofArgo runs the script as Argo CD does where `useOpenLibs` is not set: the package, base and table libraries, nothing else.
func ofArgo(object *unstructured.Unstructured, script string) verdict {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	state.SetContext(ctx)
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return verdict{Error: err.Error()}
		}
	}
	state.SetGlobal("obj", luaValue(state, object.Object))
	if err := state.DoString(script); err != nil {
		return verdict{Error: err.Error()}
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{Error: "the script returned no table"}
	}
	return verdict{Status: text(health, "status"), Message: text(health, "message")}
}

func text(table *lua.LTable, key string) string {
	if value, ok := table.RawGetString(key).(lua.LString); ok {
		return string(value)
	}
	return ""
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch one := value.(type) {
	case bool:
		return lua.LBool(one)
	case int64:
		return lua.LNumber(one)
	case float64:
		return lua.LNumber(one)
	case string:
		return lua.LString(one)
	case []any:
		table := state.CreateTable(len(one), 0)
		for _, item := range one {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(one))
		for key, item := range one {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	}
	return lua.LNil
}
