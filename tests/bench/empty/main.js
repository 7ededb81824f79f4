// The runtime's own floor: a program that does nothing.
export {};
