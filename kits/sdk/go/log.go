package windlass

import "windlass/internal/host"

// Log writes lines into the gateway's log, with the filter's name and the request's id. Bytes that
// are not UTF-8 become U+FFFD. Never log a secret.
var Log logger

type logger struct{}

// Debug writes a line at the level debug. After the message come the names and values of fields, in turn.
func (logger) Debug(message string, namesAndValues ...string) {
	write(host.Debug, message, namesAndValues)
}

// Info writes a line at the level info.
func (logger) Info(message string, namesAndValues ...string) {
	write(host.Info, message, namesAndValues)
}

// Warn writes a line at the level warn.
func (logger) Warn(message string, namesAndValues ...string) {
	write(host.Warn, message, namesAndValues)
}

// Error writes a line at the level error.
func (logger) Error(message string, namesAndValues ...string) {
	write(host.Error, message, namesAndValues)
}

// DebugEnabled tells whether lines at the level debug are written, so that their text need not be built.
func (logger) DebugEnabled() bool { return host.LogEnabled(host.Debug) }

func write(level host.LogLevel, message string, namesAndValues []string) {
	var fields []Field
	for len(namesAndValues) > 0 {
		field := Field{Name: namesAndValues[0]}
		namesAndValues = namesAndValues[1:]
		if len(namesAndValues) > 0 {
			field.Value = validText(namesAndValues[0])
			namesAndValues = namesAndValues[1:]
		}
		fields = append(fields, field)
	}
	host.LogWrite(level, validText(message), fields)
}
