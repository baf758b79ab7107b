//! The canonical bytes of structs, newtypes and enums, from a list of their parts.
//! Never derives them: what is hashed or signed is written down where the type is.

/// Canonical bytes of a struct: its fields in the order given. `tag` makes it [`Canonical`]. The
/// fields `without` have no bytes, and their default when they are read back; every other field
/// must be named, or this does not compile.
macro_rules! canonical_struct {
    (
        $ty:ident { $($field:ident),* $(,)? }
        $(without { $($gone:ident),* $(,)? })? $(tag $tag:literal)?
    ) => {
        impl $crate::base::canon::Encode for $ty {
            fn encode(&self, w: &mut $crate::base::canon::Writer) {
                let Self { $($field,)* $($($gone: _,)*)? } = self;
                $($crate::base::canon::Encode::encode($field, w);)*
            }
        }
        impl $crate::base::canon::Decode for $ty {
            fn decode(
                r: &mut $crate::base::canon::Reader<'_>,
            ) -> Result<Self, $crate::base::canon::DecodeError> {
                Ok(Self {
                    $($field: $crate::base::canon::Decode::decode(r)?,)*
                    $($($gone: Default::default(),)*)?
                })
            }
        }
        $(impl $crate::base::canon::Canonical for $ty {
            const TAG: &'static str = $tag;
        })?
    };
}
pub(crate) use canonical_struct;

/// Canonical bytes of a newtype: those of what it wraps.
macro_rules! canonical_newtype {
    ($($ty:ident),* $(,)?) => {$(
        impl $crate::base::canon::Encode for $ty {
            fn encode(&self, w: &mut $crate::base::canon::Writer) {
                self.0.encode(w);
            }
        }
        impl $crate::base::canon::Decode for $ty {
            fn decode(
                r: &mut $crate::base::canon::Reader<'_>,
            ) -> Result<Self, $crate::base::canon::DecodeError> {
                $crate::base::canon::Decode::decode(r).map(Self)
            }
        }
    )*};
}
pub(crate) use canonical_newtype;

/// Canonical bytes of an enum: `tag => Variant`, `tag => Variant(x)` or `tag => Variant { a, b }`.
macro_rules! canonical_enum {
    ($ty:ident {
        $($n:literal => $var:ident $(($x:ident))? $({ $($field:ident),* $(,)? })?),* $(,)?
    } $(tag $tag:literal)?) => {
        impl $crate::base::canon::Encode for $ty {
            fn encode(&self, w: &mut $crate::base::canon::Writer) {
                match self {
                    $(Self::$var $(($x))? $({ $($field),* })? => {
                        w.raw(&[$n]);
                        $($crate::base::canon::Encode::encode($x, w);)?
                        $($($crate::base::canon::Encode::encode($field, w);)*)?
                    })*
                }
            }
        }
        impl $crate::base::canon::Decode for $ty {
            fn decode(
                r: &mut $crate::base::canon::Reader<'_>,
            ) -> Result<Self, $crate::base::canon::DecodeError> {
                match <u8 as $crate::base::canon::Decode>::decode(r)? {
                    $($n => {
                        $(let $x = $crate::base::canon::Decode::decode(r)?;)?
                        $($(let $field = $crate::base::canon::Decode::decode(r)?;)*)?
                        Ok(Self::$var $(($x))? $({ $($field),* })?)
                    })*
                    tag => Err($crate::base::canon::DecodeError::UnknownTag(tag)),
                }
            }
        }
        $(impl $crate::base::canon::Canonical for $ty {
            const TAG: &'static str = $tag;
        })?
    };
}
pub(crate) use canonical_enum;
