//! Names of members, and strings and objects that choose a variant.

use super::Reader;
use super::fault::Fault;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, Unexpected, Visitor};

/// The name of a member, or a string that chooses a variant.
pub(super) struct Name<'n> {
    pub(super) text: &'n str,
    pub(super) at: usize,
}

impl<'de> Deserializer<'de> for Name<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A name that chooses a variant has nothing to it.
impl<'de> de::EnumAccess<'de> for Name<'_> {
    type Error = Fault;
    type Variant = Bare;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Bare), Fault> {
        let at = self.at;
        let variant = seed.deserialize(self).map_err(|fault| fault.at(at))?;
        Ok((variant, Bare))
    }
}

pub(super) struct Bare;

impl<'de> de::VariantAccess<'de> for Bare {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"newtype variant"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"tuple variant"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"struct variant"))
    }
}

/// A variant: `"name"`, or `{"name": content}`.
pub(super) struct Choice<'r, 'j> {
    pub(super) reader: &'r mut Reader<'j>,
    pub(super) content: bool,
}

impl<'de, 'r, 'j> de::EnumAccess<'de> for Choice<'r, 'j> {
    type Error = Fault;
    type Variant = Content<'r, 'j>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'r, 'j>), Fault> {
        let Self { reader, content } = self;
        let text = reader.variant()?;
        let variant = reader.here(seed.deserialize(Name { text: &text, at: reader.at }))?;
        if content {
            reader.colon();
        }
        Ok((variant, Content { reader: content.then_some(reader), name: text }))
    }
}

/// What belongs to a variant.
pub(super) struct Content<'r, 'j> {
    reader: Option<&'r mut Reader<'j>>,
    name: String,
}

impl<'de> de::VariantAccess<'de> for Content<'_, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let result = self.reader.map_or_else(|| Bare.unit_variant(), Deserialize::deserialize);
        result.map_err(|fault| fault.within_member(self.name))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let result = match self.reader {
            Some(reader) => seed.deserialize(reader),
            None => Bare.newtype_variant_seed(seed),
        };
        result.map_err(|fault| fault.within_member(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        let result = match self.reader {
            Some(reader) => reader.deserialize_seq(visitor),
            None => Bare.tuple_variant(length, visitor),
        };
        result.map_err(|fault| fault.within_member(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let result = match self.reader {
            Some(reader) => reader.deserialize_struct("", fields, visitor),
            None => Bare.struct_variant(fields, visitor),
        };
        result.map_err(|fault| fault.within_member(self.name))
    }
}
