// Package output writes LocustReports in formats for people and for other programs. It only formats: it has no client and no clock.
//
// The texts of a report come from the locustfile and from the system under test, so that no format may trust them: each makes them
// harmless for what reads it, which is a terminal, a spreadsheet, a page of Markdown or an XML parser.
package output
